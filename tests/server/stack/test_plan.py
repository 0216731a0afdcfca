"""Who listens where."""

import socket
from collections.abc import Iterator

import pytest

from chatterbox.errors import ConfigError
from server.stack.app import plan_of
from server.stack.ports import Ports
from server.stack.settings import load_settings, parse_settings


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that something listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


ANY = {"balancer_listen": "127.0.0.1:0", "server_listen": "127.0.0.1:0"}


def test_everybody_has_an_address_of_their_own() -> None:
    plan = plan_of(load_settings(listen="127.0.0.1:0", servers=8, **ANY), has_envoy=True)
    addresses = [*plan.servers, plan.balancer, plan.edge, plan.admin]
    assert len(set(addresses)) == 11
    assert all(str(address).startswith("127.0.0.1:") for address in addresses)


def test_a_port_asked_for_by_name_that_is_taken_is_refused(taken: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen on {taken}"):
        plan_of(load_settings(listen=taken, **ANY), has_envoy=True)


def test_a_port_that_nobody_named_gives_way_when_it_is_taken(taken: str) -> None:
    ports = Ports()
    first, second = (ports.take(taken, is_fixed=False) for _ in range(2))
    assert len({taken, first, second}) == 3


def test_without_envoy_there_is_no_edge() -> None:
    assert plan_of(load_settings(**ANY), has_envoy=False).edge is None


def test_an_address_that_is_not_here_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        plan_of(load_settings(listen="192.0.2.1:0", **ANY), has_envoy=True)


def test_the_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert load_settings(servers=2).threads_each == 4
    assert load_settings(servers=16).threads_each == 1
    assert load_settings(servers=2, threads=3).threads_each == 3
    assert load_settings().servers == 2
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert load_settings().servers == 1


def test_the_metrics_of_each_process_have_a_port_of_their_own() -> None:
    settings = parse_settings(["--metrics-port", "9100"], program="chatterbox up")
    assert settings.metrics_flags(0) == ["--metrics-port", "9100"]
    assert settings.metrics_flags(2) == ["--metrics-port", "9102"]
    assert load_settings().metrics_flags(0) == []


def test_each_server_gets_its_own_flags() -> None:
    flags = "--family english --device cuda:{index}"
    settings = parse_settings(["--server-flags", flags], program="chatterbox up")
    assert settings.flags_of(1) == ["--family", "english", "--device", "cuda:1"]
