"""Flags over environment over defaults, and one line for what is wrong."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from chatterbox.errors import ConfigError
from server.settings import ServerSettings, load_settings, parse_settings


def test_defaults_serve_the_bundled_voice_on_this_machine_only() -> None:
    settings = parse_settings([], program="server")
    assert settings.listen == "127.0.0.1:50051"
    assert (settings.engine, settings.family) == ("chatterbox", "tiny")


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATTERBOX_MAX_STREAMS", "5")
    monkeypatch.setenv("CHATTERBOX_SLOTS", "3")
    settings = parse_settings(["--max-streams", "7"], program="server")
    assert (settings.max_streams, settings.slots) == (7, 3)


def test_every_setting_has_a_flag_and_a_word_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse_settings(["--help"], program="server")
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for name, field in ServerSettings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in shown
        assert field.description


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--max-streams", "0"], "--max-streams"),
        (["--max-streams", "many"], "--max-streams"),
        (["--drain-s", "nan"], "--drain-s"),
        (["--idle-timeout-s", "0"], "--idle-timeout-s"),
        (["--engine", "steam"], "--engine"),
        (["--metrics-port", "70000"], "--metrics-port"),
        (["--listen", "nowhere"], "--listen"),
        (["--max-streams"], "--max-streams"),
        (["--loud"], "--loud"),
        (["--slot", "3"], "--slot"),
        (["extra"], "extra"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(arguments: list[str], word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(arguments, program="server")
    assert word in caught.value.message
    assert "\n" not in caught.value.message


def test_a_wrong_variable_is_told_by_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATTERBOX_DRAIN_S", "soon")
    with pytest.raises(ConfigError, match="--drain-s"):
        load_settings()


def test_settings_never_change() -> None:
    settings = load_settings(voices=Path("voices"))
    with pytest.raises(ValidationError, match="frozen"):
        settings.slots = 3
