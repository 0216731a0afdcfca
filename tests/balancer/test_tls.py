"""TLS at the balancer's two sides, and who is let in by it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from chatterbox.errors import ConfigError
from chatterbox.process.auth.callers import Role
from chatterbox.process.grpc_options import client_options
from chatterbox.process.tls import ClientTls, channel_credentials
from server.app import serving as serving_model
from server.certificates import make_certificates
from server.cli_keys import create
from server.settings import load_settings as server_settings

NAME = "localhost"


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of another authority."""
    folder = tmp_path_factory.mktemp("strangers")
    make_certificates(folder)
    return folder


def listening(certs: Path, part: str) -> dict[str, Path]:
    return {"tls_certificate": certs / f"{part}.pem", "tls_key": certs / f"{part}-key.pem"}


def calling(certs: Path, part: str | None = None) -> ClientTls:
    files = (certs / f"{part}.pem", certs / f"{part}-key.pem") if part else (None, None)
    return ClientTls(ca=certs / "ca.pem", certificate=files[0], key=files[1])


@asynccontextmanager
async def channel(address: str, tls: ClientTls) -> AsyncIterator[Any]:
    credentials = channel_credentials(tls)
    async with grpc.aio.secure_channel(address, credentials, options=client_options()) as opened:
        yield opened


async def echoed(opened: Any) -> list[bytes]:
    async with asyncio.timeout(20):
        call = opened.stream_stream("/test.Service/Method")(iter([b"a"]))
        return [answer async for answer in call]


async def refused(opened: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await echoed(opened)
    return caught.value.code()


async def test_calls_come_by_tls(balance: Any, backend: Any, certs: Path, connect: Any) -> None:
    async with balance(backend, **listening(certs, "balancer")) as balancer:
        async with channel(balancer.address, calling(certs)) as opened:
            assert await echoed(opened) == [b"a"]
        async with connect(balancer.address) as in_the_clear:
            assert await refused(in_the_clear.channel) is grpc.StatusCode.UNAVAILABLE


async def test_who_has_no_certificate_is_not_let_in(
    balance: Any, backend: Any, certs: Path, strangers: Path
) -> None:
    mutual = {**listening(certs, "balancer"), "tls_client_ca": certs / "ca.pem"}
    async with balance(backend, **mutual) as balancer:
        async with channel(balancer.address, calling(certs, "edge")) as opened:
            assert await echoed(opened) == [b"a"]
        foreign = ClientTls(
            ca=certs / "ca.pem",
            certificate=strangers / "edge.pem",
            key=strangers / "edge-key.pem",
        )
        for tls in (calling(certs), foreign):
            async with channel(balancer.address, tls) as opened:
                assert await refused(opened) is grpc.StatusCode.UNAVAILABLE


async def test_new_certificates_are_taken_without_a_restart(
    balance: Any, backend: Any, certs: Path, strangers: Path, tmp_path: Path
) -> None:
    for name in ("balancer.pem", "balancer-key.pem"):
        shutil.copy(certs / name, tmp_path)
    async with balance(backend, **listening(tmp_path, "balancer")) as balancer:
        async with channel(balancer.address, calling(strangers)) as opened:
            assert await refused(opened) is grpc.StatusCode.UNAVAILABLE
        (tmp_path / "balancer.pem").write_text("half a certifi")
        async with channel(balancer.address, calling(certs)) as opened:
            assert await echoed(opened) == [b"a"]
        for name in ("balancer.pem", "balancer-key.pem"):
            shutil.copy(strangers / name, tmp_path)
        async with channel(balancer.address, calling(strangers)) as opened:
            assert await echoed(opened) == [b"a"]


@pytest.fixture
def balancer_to(balance: Any) -> Any:
    """A balancer in front of a model server by TLS, entered at once."""

    def run(address: str, certs: Path, part: str | None = None, **settings: Any) -> Any:
        files = (
            {
                "backend_tls_certificate": certs / f"{part}.pem",
                "backend_tls_key": certs / f"{part}-key.pem",
            }
            if part
            else {}
        )
        authority = {"backend_tls_ca": certs / "ca.pem", "backend_tls_name": NAME}
        return balance(backends=address, **authority, **files, **settings)

    return run


@asynccontextmanager
async def model_server(**settings: Any) -> AsyncIterator[Any]:
    chosen = server_settings(listen="127.0.0.1:0", engine="tone", drain_s=1.0, **settings)
    async with serving_model(chosen) as running:
        yield running


async def test_a_server_lets_in_the_balancer_by_its_certificate_alone(
    balancer_to: Any, certs: Path, strangers: Path, settled: Any
) -> None:
    mutual = {**listening(certs, "server"), "tls_client_ca": certs / "ca.pem"}
    async with model_server(**mutual) as server:
        async with balancer_to(server.address, certs, "balancer") as balancer:
            await settled(lambda: balancer.pool.is_serving)
        async with balancer_to(server.address, certs) as balancer:
            assert not balancer.pool.is_serving  # after a second of trying
        async with balancer_to(server.address, strangers, "balancer") as balancer:
            assert not balancer.pool.is_serving


async def test_a_server_lets_in_the_balancer_by_its_key(
    balancer_to: Any, certs: Path, settled: Any, tmp_path: Path, capsys: Any
) -> None:
    keys, key_file = tmp_path / "keys.json", tmp_path / "key"
    create("the balancer", role=Role.BALANCER, file=keys)
    key_file.write_text(capsys.readouterr().out)
    async with model_server(**listening(certs, "server"), keys=keys) as server:
        async with balancer_to(server.address, certs, backend_key_file=key_file) as balancer:
            await settled(lambda: balancer.pool.upstreams[0].models == {"models/tone"})
            async with grpc.aio.insecure_channel(balancer.address) as opened:
                listing = opened.unary_unary("/chatterbox.v1.VoicesService/ListVoices")
                assert b"voices/alto" in await listing(b"")
        with capture_logs() as logs:
            async with balancer_to(server.address, certs):
                await settled(lambda: any("does not let" in line["event"] for line in logs))
        async with balancer_to(server.address, certs) as balancer:
            await settled(lambda: balancer.pool.is_serving)  # health is told to anybody
            async with grpc.aio.insecure_channel(balancer.address) as opened:
                listing = opened.unary_unary("/chatterbox.v1.VoicesService/ListVoices")
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await listing(b"")
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"backend_key_file": Path("key")}, "by TLS alone"),
        ({"backend_tls_name": "x"}, "--backend-tls-ca"),
        ({"backend_tls_ca": Path("nothing.pem")}, "nothing.pem"),
        ({"backend_tls_ca": Path(__file__)}, "not in PEM"),
        ({"backend_tls_ca": Path("ca"), "backend_tls_key": Path("x")}, "belong together"),
        ({"tls_certificate": Path("x")}, "belong together"),
        ({"tls_client_ca": Path("x")}, "--tls-client-ca needs"),
        ({"tls_certificate": Path("nothing.pem"), "tls_key": Path("x")}, "cannot read"),
    ],
)
async def test_what_cannot_work_stops_the_start(
    balance: Any, backend: Any, given: dict[str, Any], word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        async with balance(backend, **given):
            pass
