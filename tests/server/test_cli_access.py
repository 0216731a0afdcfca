"""With what the command line gets in."""

from pathlib import Path

import pytest

from chatterbox.errors import InvalidRequest
from chatterbox.process.tls import ClientTls
from server.cli import run
from server.cli_access import Access, access_of_environment


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(Access(api_key="cb_secret"))


def test_an_authority_means_tls() -> None:
    assert Access().tls is None
    assert Access(tls_ca=Path("ca.pem")).tls == ClientTls(ca=Path("ca.pem"))
    assert Access(tls_ca=Path("system")).tls == ClientTls()


def test_commands_without_the_options_are_let_in_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CHATTERBOX_API_KEY", "CHATTERBOX_TLS_CA"):
        monkeypatch.delenv(name, raising=False)
    assert access_of_environment() == Access()
    monkeypatch.setenv("CHATTERBOX_API_KEY", "cb_secret")
    monkeypatch.setenv("CHATTERBOX_TLS_CA", "ca.pem")
    assert access_of_environment() == Access(api_key="cb_secret", tls_ca=Path("ca.pem"))


@pytest.mark.parametrize("key", ["a\nb", "schlüssel", "a\x00"])
def test_what_no_header_can_hold_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest):
        Access(api_key=key)


@pytest.mark.parametrize(("file", "word"), [("nothing.pem", "cannot read"), (__file__, "PEM")])
def test_an_authority_that_is_none_is_one_line(
    capsys: pytest.CaptureFixture[str], file: str, word: str
) -> None:
    assert run(["models", "--server", "127.0.0.1:1", "--tls-ca", file]) == 2
    assert word in capsys.readouterr().err.splitlines()[-1]
