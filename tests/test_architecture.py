"""The structure keeps its promises: where packages come from, what they load, how big they grow."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
GENERATED = (SOURCE / "chatterbox" / "v1", SOURCE / "chatterbox" / "worker")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def _written_files() -> list[Path]:
    return [
        path
        for path in sorted(SOURCE.rglob("*.py"))
        if not any(path.is_relative_to(folder) for folder in GENERATED)
    ]


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _loads_torch(module: str) -> bool:
    code = f"import {module}, sys; sys.exit(3 if 'torch' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-P", "-c", code], check=False)
    assert done.returncode in (0, 3), f"importing {module} failed"
    return done.returncode == 3


@pytest.mark.parametrize("name", ["chatterbox", "server", "balancer"])
def test_our_packages_come_from_src(name: str) -> None:
    assert Path(import_module(name).__file__ or "").parent == SOURCE / name


@pytest.mark.parametrize(
    "module",
    [
        "balancer.__main__",
        "chatterbox.speech",
        "chatterbox.engine.scheduler",
        "chatterbox.engine.tone",
        "chatterbox.models.families",
        "chatterbox.synthesis",
        "server.cli",
        "server.convert",
    ],
)
def test_what_needs_no_torch_loads_none(module: str) -> None:
    assert not _loads_torch(module)


def test_the_engine_is_where_torch_is_loaded() -> None:
    assert _loads_torch("chatterbox.engine.model_device")


@pytest.mark.parametrize("path", _written_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_stays_one_noun(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES
    long = {
        node.name: lines
        for node in _functions(path)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert not long


def test_package_files_hold_only_a_docstring() -> None:
    for path in _written_files():
        if path.name == "__init__.py" and path.parent != SOURCE / "chatterbox":
            body = ast.parse(path.read_text()).body
            assert len(body) <= 1, f"{path.relative_to(ROOT)} imports or defines something"


def test_no_test_folder_is_a_package() -> None:
    # An __init__.py below tests/ would shadow the package of the same name in src/.
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_nothing_at_run_time_needs_the_reference_stack() -> None:
    banned = {"transformers", "diffusers", "einops"}
    for path in _written_files():
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            roots = {name.split(".")[0] for name in names}
            assert not roots & banned, path
            assert "librosa" not in roots or "evaluation" in path.name, path
