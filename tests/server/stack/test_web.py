"""Where the web interface is looked for."""

from pathlib import Path

import pytest

from chatterbox.errors import ConfigError
from server.stack import web
from server.stack.settings import parse_settings
from server.stack.web import web_folder


@pytest.fixture(autouse=True)
def _nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(web, "PACKAGED", tmp_path / "packaged")
    monkeypatch.setattr(web, "BUILT", tmp_path / "built")


def page_in(folder: Path) -> Path:
    folder.mkdir()
    (folder / "index.html").write_text("<p>hello")
    return folder


def test_by_default_the_packaged_one_is_found_and_else_the_built_one(tmp_path: Path) -> None:
    choice = parse_settings([], program="chatterbox up").web_root
    assert web_folder(choice) is None
    built = page_in(tmp_path / "built")
    assert web_folder(choice) == built
    packaged = page_in(tmp_path / "packaged")
    assert web_folder(choice) == packaged


def test_one_may_be_named_or_done_without(tmp_path: Path) -> None:
    page_in(tmp_path / "built")
    named = page_in(tmp_path / "named")
    settings = parse_settings(["--web-root", str(named)], program="chatterbox up")
    assert web_folder(settings.web_root) == named
    assert web_folder(parse_settings(["--web-root", "none"], program="up").web_root) is None


def test_a_folder_without_a_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no index\.html"):
        web_folder(tmp_path)
