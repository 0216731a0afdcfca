"""`chatterbox keys` and `chatterbox certs`."""

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509

from chatterbox.process.auth.key_file import read_keys
from server.cli import run


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "keys.json")


def created(file: str, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert run(["keys", "create", "alice", "--file", file, *flags]) == 0
    return capsys.readouterr().out.strip()


def test_a_key_is_printed_once_and_alone(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "create", "alice", "--file", file]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("cb_")
    assert shown.out.count("\n") == 1
    assert shown.out.strip() not in shown.err
    (key,) = read_keys(Path(file)).values()
    assert key.fits(shown.out.strip())


def test_keys_are_listed_without_what_they_are(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ("--max-streams", "4", "--characters-per-minute", "900", "--expires-in", "90d")
    key = created(file, capsys, "--role", "admin", *limits)
    assert run(["keys", "list", "--file", file]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["key", "name", "role"]
    assert row.split()[:3] == [f"{key[:11]}...", "alice", "admin"]
    assert row.split()[-2:] == ["4", "900"]
    assert run(["keys", "list", "--json", "--file", file]) == 0
    shown = capsys.readouterr().out
    (found,) = json.loads(shown)
    assert (found["name"], found["max_streams"]) == ("alice", 4)
    assert "digest" not in shown


def test_keys_are_revoked_by_what_the_list_shows(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [created(file, capsys) for _ in range(4)]
    names = [keys[0][:11], f"{keys[1][:11]}...", keys[2]]
    assert run(["keys", "revoke", *names, "--file", file]) == 0
    assert capsys.readouterr().out.count("is revoked") == 3
    assert [key.shown for key in read_keys(Path(file)).values()] == [keys[3][:11]]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["create"], "name"),
        (["create", ""], "a name has"),
        (["create", "x" * 81], "a name has"),
        (["create", "a\nb"], "a name has"),
        (["create", "a", "--expires-in", "soon"], "90d"),
        (["create", "a", "--expires-in", "0d"], "90d"),
        (["create", "a", "--role", "king"], "king"),
        (["create", "a", "--max-streams", "0"], "max-streams"),
        (["create", "a", "--file", "no/such/folder/keys.json"], "no/such/folder"),
        (["list", "--file", "nothing.json"], "chatterbox keys create"),
        (["revoke", "cb_nobody", "--file", "nothing.json"], "nobody"),
        (["revoke"], "KEY"),
    ],
)
def test_what_goes_wrong_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    word: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["keys", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert word in shown.err.splitlines()[-1]


def test_one_that_is_not_there_revokes_none(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    key = created(file, capsys)
    assert run(["keys", "revoke", key[:11], "cb_nobody", "--file", file]) == 2
    assert len(read_keys(Path(file))) == 1


def test_certificates_are_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "certs"
    assert run(["certs", str(folder), "--host", "speech.example", "--host", "10.0.0.1"]) == 0
    assert capsys.readouterr().out.count("Wrote") == 8
    authority, edge = (
        x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        for name in ("ca", "edge")
    )
    edge.verify_directly_issued_by(authority)
    names = edge.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["speech.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    for path in folder.glob("*-key.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert run(["certs", str(folder)]) == 0
    assert before == {path: path.read_bytes() for path in folder.iterdir()}

    (folder / "edge.pem").unlink()  # one that is missing comes from the same authority
    assert run(["certs", str(folder)]) == 0
    x509.load_pem_x509_certificate((folder / "edge.pem").read_bytes()).verify_directly_issued_by(
        authority
    )
