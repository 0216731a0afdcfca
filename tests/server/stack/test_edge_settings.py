"""`chatterbox envoy`: the files of an Envoy of one's own."""

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chatterbox.errors import ConfigError
from server.cli_envoy import envoy
from server.stack.edge_settings import EdgeSettings, parse_settings

DEPLOY = Path(__file__).parents[3] / "deploy" / "envoy"
README = (DEPLOY / "README.md").read_text()
ENVOY = Path(sys.executable).parent / "envoy"
PROGRAM = "chatterbox envoy"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EdgeSettings.model_fields:
        monkeypatch.delenv(f"CHATTERBOX_EDGE_{name.upper()}", raising=False)


@pytest.mark.skipif(not ENVOY.exists(), reason="there is no Envoy wheel for this machine")
def test_what_it_writes_is_enough_for_envoy(tmp_path: Path) -> None:
    assert envoy(["--folder", str(tmp_path / "edge")], program=PROGRAM) == 0
    names = {path.name for path in (tmp_path / "edge").iterdir()}
    assert names == {"envoy.json", "contract.binpb", "openapi.json", "docs.html"}
    done = subprocess.run(
        [ENVOY, "--mode", "validate", "-l", "warning", "-c", tmp_path / "edge" / "envoy.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_example_is_what_its_command_writes(tmp_path: Path) -> None:
    (command,) = re.findall(r"^(chatterbox envoy (?:.*\\\n)*.*)\n", README, re.MULTILINE)
    flags = shlex.split(command.replace("\\\n", " "))[2:]
    envoy([*flags, "--folder", str(tmp_path)], program=PROGRAM)
    written = (tmp_path / "envoy.json").read_text()
    assert written == (DEPLOY / "envoy.json").read_text()
    assert "/etc/chatterbox/contract.binpb" in written


def test_the_limits_told_are_the_limits_set() -> None:
    config: dict[str, Any] = json.loads((DEPLOY / "envoy.json").read_text())
    text = json.dumps(config)
    assert '"max_request_bytes": 34603008' in text
    assert '"max_request_headers_kb": 32' in text
    assert '"max_headers_count": 64' in text
    assert '"max_active_downstream_connections": 10000' in text
    assert '"stream_idle_timeout": "120s"' in text
    for told in ("33 MiB", "32 KiB", "10,000 connections", "120 s"):
        assert told in README


def test_balancers_are_expected_to_have_the_first_ones_name() -> None:
    flags = ["--balancers", "one.example:1,two.example:1", "--balancer-tls-ca", "ca.pem"]
    tls = parse_settings(flags, program=PROGRAM).edge_config().balancer_tls
    assert tls is not None
    assert tls.name == "one.example"
    named = parse_settings([*flags, "--balancer-tls-name", "any"], program=PROGRAM)
    assert named.edge_config().balancer_tls == dataclasses.replace(tls, name="any")


def test_an_edge_that_others_reach_is_told_who_has_to_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for listen, is_told in (("127.0.0.1:8080", False), ("0.0.0.0:8080", True)):
        assert envoy(["--folder", str(tmp_path), "--listen", listen], program=PROGRAM) == 0
        assert ("--keys" in capsys.readouterr().out) is is_told


@pytest.mark.parametrize(
    "flags",
    [
        ["--tls-key", "key.pem"],
        ["--tls-certificate", "certificate.pem"],
        ["--tls-client-ca", "ca.pem"],
        ["--balancer-tls-name", "balancer"],
        ["--balancer-tls-ca", "ca.pem", "--balancer-tls-key", "key.pem"],
        ["--balancers", ""],
        ["--balancers", "nowhere"],
        ["--admin-api", "maybe"],
    ],
)
def test_what_cannot_work_is_refused(flags: list[str]) -> None:
    with pytest.raises(ConfigError):
        parse_settings(flags, program=PROGRAM).edge_config()
