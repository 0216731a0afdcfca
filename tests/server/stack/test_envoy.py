"""Envoy itself finds every variant of the configuration right."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chatterbox.errors import ConfigError
from chatterbox.process.tls import ClientTls, Tls
from server.certificates import make_certificates
from server.openapi.contract import CONTRACT
from server.stack.edge import LOOPBACK_HOSTS, EdgeConfig
from server.stack.envoy import envoy_config, envoy_text, write_envoy_config
from server.stack.pages import write_pages

ENVOY = Path(sys.executable).parent / "envoy"


@pytest.fixture
def config(tmp_path: Path) -> EdgeConfig:
    write_pages(tmp_path, has_admin_api=False)
    return EdgeConfig(
        listen="127.0.0.1:8080",
        balancers=("127.0.0.1:50050",),
        contract=CONTRACT,
        pages=tmp_path,
    )


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    make_certificates(folder)
    return folder


@pytest.fixture
def tls(certs: Path) -> Tls:
    files = {"certificate": certs / "edge.pem", "key": certs / "edge-key.pem"}
    return Tls(**files, client_ca=certs / "ca.pem")


def complaints(config: EdgeConfig, folder: Path) -> str:
    """What Envoy says against it; nothing if it would run."""
    if not ENVOY.exists():
        pytest.skip("there is no Envoy wheel for this machine")
    path = folder / "envoy.json"
    write_envoy_config(config, path)
    done = subprocess.run(
        [ENVOY, "--mode", "validate", "-l", "warning", "-c", path],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stderr


def test_on_a_laptop(config: EdgeConfig, tmp_path: Path) -> None:
    embedded = dataclasses.replace(config, has_admin_api=True, has_reflection=True)
    assert not complaints(embedded, tmp_path)


def test_in_production(config: EdgeConfig, tls: Tls, tmp_path: Path) -> None:
    production = dataclasses.replace(
        config,
        listen="0.0.0.0:8443",
        balancers=("balancer-0.example:50050", "balancer-1.example:50050"),
        tls=tls,
        cors_origins=r"https://speech\.example",
    )
    assert not complaints(production, tmp_path)


def test_with_tls_and_no_authority_for_clients(
    config: EdgeConfig, tls: Tls, tmp_path: Path
) -> None:
    plain = dataclasses.replace(config, tls=dataclasses.replace(tls, client_ca=None))
    assert not complaints(plain, tmp_path)


@pytest.mark.parametrize("shows_itself", [False, True])
def test_with_tls_to_the_balancers(
    config: EdgeConfig, certs: Path, tmp_path: Path, *, shows_itself: bool
) -> None:
    own = {"certificate": certs / "edge.pem", "key": certs / "edge-key.pem"} if shows_itself else {}
    tls = ClientTls(ca=certs / "ca.pem", name="localhost", **own)
    assert not complaints(dataclasses.replace(config, balancer_tls=tls), tmp_path)


def test_tls_to_the_balancers_needs_to_know_whom_to_expect(config: EdgeConfig, certs: Path) -> None:
    for tls in (ClientTls(ca=certs / "ca.pem"), ClientTls(name="localhost")):
        with pytest.raises(ConfigError, match="an authority and a name"):
            dataclasses.replace(config, balancer_tls=tls)


def test_with_a_web_interface(config: EdgeConfig, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>hello")
    assert not complaints(dataclasses.replace(config, web_root=tmp_path), tmp_path)


def test_a_wrong_one_is_found_wrong(config: EdgeConfig, tmp_path: Path) -> None:
    wrong = dataclasses.replace(config, contract=tmp_path / "nothing.binpb")
    assert "nothing.binpb" in complaints(wrong, tmp_path)


@pytest.mark.parametrize("address", ["nowhere", ":80", "host:port", "host:65536"])
def test_an_address_that_is_none_is_refused(config: EdgeConfig, address: str) -> None:
    for field in ({"listen": address}, {"admin": address}, {"balancers": (address,)}):
        with pytest.raises(ConfigError, match="an address looks like"):
            dataclasses.replace(config, **field)  # type: ignore[arg-type]


def test_a_balancer_is_needed(config: EdgeConfig) -> None:
    with pytest.raises(ConfigError, match="balancer"):
        dataclasses.replace(config, balancers=())


def strings(value: Any) -> list[str]:
    match value:
        case dict():
            return [found for each in value.items() for found in strings(list(each))]
        case list() | tuple():
            return [found for each in value for found in strings(each)]
        case str():
            return [value]
    return []


def test_steering_and_reflection_are_there_only_when_asked_for(config: EdgeConfig) -> None:
    closed = strings(envoy_config(config))
    assert "chatterbox.v1.AdminService" not in closed
    assert "/grpc.reflection." not in closed
    opened = dataclasses.replace(config, has_admin_api=True, has_reflection=True)
    assert {"chatterbox.v1.AdminService", "/grpc.reflection."} <= set(strings(envoy_config(opened)))


def test_what_lies_between_our_own_processes_has_no_route(config: EdgeConfig) -> None:
    assert not [text for text in strings(envoy_config(config)) if "chatterbox.worker" in text]


@pytest.mark.parametrize(
    ("listen", "own"), [("127.0.0.1:80", ""), ("127.0.0.2:80", "127.0.0.2"), ("[::1]:80", "")]
)
def test_one_for_this_machine_alone_answers_to_its_names(
    config: EdgeConfig, tmp_path: Path, listen: str, own: str
) -> None:
    here = dataclasses.replace(config, listen=listen)
    assert here.hosts == (*LOOPBACK_HOSTS, *filter(None, [own]))
    assert not complaints(here, tmp_path)


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:8080"])
def test_one_for_others_answers_to_any(config: EdgeConfig, tmp_path: Path, listen: str) -> None:
    there = dataclasses.replace(config, listen=listen)
    assert there.hosts == ("*",)
    assert not complaints(there, tmp_path)


def test_the_same_settings_give_the_same_text(config: EdgeConfig) -> None:
    assert envoy_text(config) == envoy_text(dataclasses.replace(config))
    assert json.loads(envoy_text(config)) == envoy_config(config)
