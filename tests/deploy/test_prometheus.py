"""The alarms and the dashboard ask for metrics that the processes really have."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub

BIN = Path(sys.executable).parent
DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "chatterbox.json").read_text())
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
# A word of a query that is neither a function nor a label: our names are alone in having our prefix.
NAME = re.compile(r"\bchatterbox[a-z_:0-9]+")
LABEL = re.compile(r"(\w+)=~?\"|\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}|by \(([\w, ]+)\)")
OF_PROMETHEUS = {"le", "job", "instance"}


def started(program: str, *flags: str) -> tuple[subprocess.Popen[str], str, str]:
    """A process of ours, where it listens, and what its metrics page says, asked anew each time."""
    process = subprocess.Popen(
        [BIN / program, "--listen", "127.0.0.1:0", "--metrics-port", "0", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    address, port = "", ""
    for line in process.stdout:
        if found := re.search(r"listening on (\S+)", line):
            address = found[1]
        if found := re.search(r"Metrics are on port (\d+)", line):
            port = found[1]
            break
    return process, address, f"http://127.0.0.1:{port}/metrics"


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    """Of a server and of a balancer that have been called."""
    server, server_address, server_page = started("chatterbox-server", "--engine", "tone")
    balancer, address, page = started("chatterbox-balancer", "--backends", server_address)
    try:
        with grpc.insecure_channel(address) as channel:
            request = pb.SynthesizeRequest(input=pb.SynthesisInput(text="Hello."))
            list(TextToSpeechServiceStub(channel).Synthesize(request, timeout=20))
        yield "".join(urlopen(url).read().decode() for url in (server_page, page))
    finally:
        for process in (balancer, server):
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def exposed(pages: str) -> dict[str, set[str]]:
    """The names of series that there are or may be, with the labels that were seen on them."""
    names: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(pages):
        labels = {label for sample in family.samples for label in sample.labels}
        for suffix in SUFFIXES.get(family.type, ("",)):
            names[family.name + suffix] = labels
    return names


def rule_lines() -> str:
    text = RULES.read_text()
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def queries() -> list[str]:
    """Every query of the dashboard."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_every_metric_of_the_rules_exists(exposed: dict[str, set[str]]) -> None:
    recorded = set(re.findall(r"record: (\S+)", rule_lines()))
    asked = set(NAME.findall(re.sub(r"- name: \S+|job=~\S+", "", rule_lines()))) - recorded
    assert len(asked) > 5
    assert asked <= exposed.keys()


def test_every_metric_of_the_dashboard_exists(exposed: dict[str, set[str]]) -> None:
    asked = set(NAME.findall("\n".join(queries())))
    assert len(asked) > 10
    assert asked <= exposed.keys()


def test_every_label_exists(exposed: dict[str, set[str]]) -> None:
    legends = [t["legendFormat"] for panel in DASHBOARD["panels"] for t in panel["targets"]]
    text = "\n".join([rule_lines(), *queries(), *legends])
    found = {word for each in LABEL.findall(text) for word in re.findall(r"\w+", " ".join(each))}
    assert {"code", "backend"} <= found
    assert found <= set().union(*exposed.values()) | OF_PROMETHEUS


def test_the_dashboards_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("command", ["check rules rules.yml", "test rules rules_test.yml"])
def test_prometheus_finds_the_rules_right(command: str) -> None:
    done = subprocess.run(
        ["promtool", *command.split()],
        cwd=RULES.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
