"""Generate the contract's Python into src/, or with --check fail if what is there differs.

    python protos/generate.py [--check]

The proto package is the Python package (`chatterbox.v1`), so nothing needs patching.
"""

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).parent.resolve()
SOURCE = PROTOS.parent / "src"
PACKAGE = Path("chatterbox/v1")
DOCSTRING = '"""The wire contract, generated from protos/ by `make protos`; do not edit."""\n'


def generate(target: Path) -> None:
    """Write the generated package below `target`; exits with protoc's message on an error."""
    names = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / PACKAGE).glob("*.proto"))
    services = [name for name in names if name.endswith("_service.proto")]
    _protoc(f"--python_out={target}", f"--mypy_out=quiet:{target}", *names)
    _protoc(f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}", *services)
    (target / PACKAGE / "__init__.py").write_text(DOCSTRING)


def _protoc(*arguments: str) -> None:
    scripts = Path(sys.executable).parent  # not on PATH unless the environment is activated
    plugins = [
        f"--plugin={name}={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    includes = [f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}"]
    status = protoc.main(["protoc", *includes, *plugins, *arguments])
    if status != 0:
        sys.exit(status)


def contents(root: Path) -> dict[str, str]:
    """Text of every generated file below `root`, by name."""
    return {path.name: path.read_text() for path in sorted((root / PACKAGE).glob("*.py*"))}


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate the contract's Python into src/.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail on a difference")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        generate(target)
        wanted, present = contents(target), contents(SOURCE)
    stale = sorted(name for name in wanted | present if wanted.get(name) != present.get(name))
    if check:
        if stale:
            sys.exit(f"src/{PACKAGE} is not what protos/ generates; run `make protos`: {stale}")
        return
    (SOURCE / PACKAGE).mkdir(exist_ok=True)
    for name in stale:
        path = SOURCE / PACKAGE / name
        if name in wanted:
            path.write_text(wanted[name])
        else:
            path.unlink()


if __name__ == "__main__":
    main()
