"""Generate the contract's code into src/, or with --check fail if what is there differs.

    python protos/generate.py [--check]

The proto package is the Python package (`chatterbox.v1`), so nothing needs patching. Beside it lies
the public contract as a descriptor set, with its comments: Envoy translates JSON by it, and the
OpenAPI document is made from it.
"""

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).parent.resolve()
SOURCE = PROTOS.parent / "src"
PUBLIC = Path("chatterbox/v1")
INTERNAL = Path("chatterbox/worker/v1")
DESCRIPTOR_SET = PUBLIC / "contract.binpb"
# What may be inside a google.protobuf.Any of an answer; nothing imports them.
ERROR_TYPES = ("google/rpc/error_details.proto", "google/rpc/status.proto")
DOCSTRINGS = {
    PUBLIC: '"""The wire contract, generated from protos/ by `make protos`; do not edit."""\n',
    INTERNAL: '"""Between our processes, generated from protos/ by `make protos`; do not edit."""\n',
    INTERNAL.parent: '"""Generated from protos/ by `make protos`; do not edit."""\n',
}


def generate(target: Path) -> None:
    """Write the generated packages below `target`; exits with protoc's message on an error."""
    names = sorted(
        str(path.relative_to(PROTOS))
        for package in (PUBLIC, INTERNAL)
        for path in (PROTOS / package).glob("*.proto")
    )
    services = [name for name in names if name.endswith("_service.proto")]
    _protoc(f"--python_out={target}", f"--mypy_out=quiet:{target}", *names)
    _protoc(f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}", *services)
    public = [name for name in names if name.startswith(f"{PUBLIC}/")]
    whole = ("--include_imports", "--include_source_info")
    _protoc(f"--descriptor_set_out={target / DESCRIPTOR_SET}", *whole, *public, *ERROR_TYPES)
    for package, docstring in DOCSTRINGS.items():
        (target / package / "__init__.py").write_text(docstring)


def _protoc(*arguments: str) -> None:
    scripts = Path(sys.executable).parent  # not on PATH unless the environment is activated
    plugins = [
        f"--plugin={name}={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    includes = [f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}"]
    status = protoc.main(["protoc", *includes, *plugins, *arguments])
    if status != 0:
        sys.exit(status)


def contents(root: Path) -> dict[Path, bytes]:
    """Every generated file below `root`, by its path from there."""
    return {
        path.relative_to(root): path.read_bytes()
        for package in DOCSTRINGS
        for pattern in ("*.py*", "*.binpb")
        for path in sorted((root / package).glob(pattern))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate the contract's code into src/.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail on a difference")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        generate(target)
        wanted, present = contents(target), contents(SOURCE)
    stale = sorted(path for path in wanted | present if wanted.get(path) != present.get(path))
    if check:
        if stale:
            names = ", ".join(str(path) for path in stale)
            sys.exit(f"src/ is not what protos/ generates; run `make protos`: {names}")
        return
    for path in stale:
        if path in wanted:
            (SOURCE / path).parent.mkdir(parents=True, exist_ok=True)
            (SOURCE / path).write_bytes(wanted[path])
        else:
            (SOURCE / path).unlink()


if __name__ == "__main__":
    main()
