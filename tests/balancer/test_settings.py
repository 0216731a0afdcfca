"""The balancer's flags and variables."""

import pytest

from balancer.settings import BalancerSettings, load_settings, parse_settings
from chatterbox.errors import ConfigError


def test_defaults_stand_before_the_server_on_this_machine() -> None:
    settings = parse_settings([], program="balancer")
    assert (settings.listen, settings.backends) == ("127.0.0.1:50050", "127.0.0.1:50051")


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATTERBOX_BALANCER_MAX_QUEUE", "5")
    monkeypatch.setenv("CHATTERBOX_BALANCER_MAX_CALLS", "3")
    monkeypatch.setenv("CHATTERBOX_LISTEN", "nowhere")  # the model server's, not ours
    settings = parse_settings(["--max-queue", "7"], program="balancer")
    assert (settings.max_queue, settings.max_calls) == (7, 3)


def test_every_setting_has_a_flag_and_a_word_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_settings(["--help"], program="balancer")
    shown = capsys.readouterr().out
    for name, field in BalancerSettings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in shown
        assert field.description
    assert "CHATTERBOX_BALANCER_" in shown


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--max-queue", "-1"], "--max-queue"),
        (["--max-retries", "5"], "--max-retries"),
        (["--idle-timeout-s", "0"], "--idle-timeout-s"),
        (["--drain-s", "nan"], "--drain-s"),
        (["--listen", "nowhere"], "--listen"),
        (["--backend", "a:1"], "--backend"),
        (["extra"], "extra"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(arguments: list[str], word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(arguments, program="balancer")
    assert word in caught.value.message
    assert "\n" not in caught.value.message


def test_a_wrong_variable_is_told_by_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATTERBOX_BALANCER_DRAIN_S", "soon")
    with pytest.raises(ConfigError, match="--drain-s"):
        load_settings()
