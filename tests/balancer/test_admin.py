"""Backends as operators see and steer them: by RPC and from the command line."""

from typing import Any

import grpc
import pytest

from chatterbox.v1 import admin_service_pb2 as pb
from chatterbox.v1.admin_service_pb2_grpc import AdminServiceStub
from chatterbox.v1.backend_pb2 import Backend
from chatterbox.worker.v1.worker_service_pb2 import WatchLoadResponse


@pytest.fixture
async def admin(client: Any) -> Any:
    return AdminServiceStub(client.channel)


async def only(admin: Any) -> Backend:
    (backend,) = (await admin.ListBackends(pb.ListBackendsRequest())).backends
    return backend


async def test_a_backend_is_shown_with_what_it_tells(
    balance: Any, backend: Any, connect: Any, settled: Any
) -> None:
    backend.load = WatchLoadResponse(
        slots=8, free_slots=3, waiting=2, max_streams=16, models=["models/tiny"], version="1.2.3"
    )
    backend.load.queued_audio.FromMilliseconds(2500)
    async with balance(backend) as balancer, connect(balancer.address) as client:
        await settled(lambda: bool(balancer.pool.upstreams[0].models))
        call = client.call()
        await call.write(b"a")
        await call.read()
        shown = await only(AdminServiceStub(client.channel))
        call.cancel()

    assert shown.name == "backends/" + backend.address.replace(".", "-").replace(":", "-")
    assert (shown.address, shown.state) == (backend.address, Backend.STATE_SERVING)
    assert (shown.active_streams, shown.max_streams) == (1, 16)
    assert (shown.slots, shown.free_slots, shown.waiting) == (8, 3, 2)
    assert shown.queued_audio.ToMilliseconds() == 2500
    assert (list(shown.models), shown.version) == (["models/tiny"], "1.2.3")


async def test_a_drained_backend_gets_no_more_calls_and_keeps_what_it_has(
    balance: Any, backend: Any, other: Any, connect: Any
) -> None:
    async with (
        balance(backend, other, slow_start_s=0) as balancer,
        connect(balancer.address) as client,
    ):
        admin = AdminServiceStub(client.channel)
        call = client.call()
        await call.write(b"a")
        await call.read()
        home, rest = (backend, other) if backend.active else (other, backend)
        name = "backends/" + home.address.replace(".", "-").replace(":", "-")

        drained = await admin.DrainBackend(pb.DrainBackendRequest(name=name))
        assert (drained.state, drained.active_streams) == (Backend.STATE_DRAINED, 1)
        for _ in range(20):
            await client.send(b"a")
        assert (len(home.calls), len(rest.calls)) == (1, 20)
        await call.write(b"still here")
        assert await call.read() == b"still here"
        call.cancel()

        again = await admin.UndrainBackend(pb.UndrainBackendRequest(name=name))
        assert again.state == Backend.STATE_SERVING
        for _ in range(20):
            await client.send(b"a")
        assert len(home.calls) > 1


async def test_states_tell_why_a_backend_is_offered_nothing(
    balancer: Any, backend: Any, admin: Any, settled: Any
) -> None:
    (upstream,) = balancer.pool.upstreams
    await backend.say(serving=False)
    await settled(lambda: upstream.eligible_since_s is None)
    assert (await only(admin)).state == Backend.STATE_NOT_SERVING


async def test_a_backend_that_says_it_drains_is_offered_nothing(
    balance: Any, backend: Any, settled: Any, connect: Any
) -> None:
    backend.load = WatchLoadResponse(slots=1, max_streams=1)
    async with balance(backend) as balancer, connect(balancer.address) as client:
        backend.load = WatchLoadResponse(slots=1, max_streams=1, draining=True)
        await settled(lambda: not balancer.pool.is_serving)
        assert (await only(AdminServiceStub(client.channel))).state == Backend.STATE_NOT_SERVING


async def test_backends_are_listed_in_pages(
    balance: Any, backend: Any, other: Any, connect: Any
) -> None:
    async with balance(backend, other) as balancer, connect(balancer.address) as client:
        admin = AdminServiceStub(client.channel)
        first = await admin.ListBackends(pb.ListBackendsRequest(page_size=1))
        rest = await admin.ListBackends(
            pb.ListBackendsRequest(page_size=1, page_token=first.next_page_token)
        )
    names = [each.name for page in (first, rest) for each in page.backends]
    assert names == sorted(names)
    assert len(set(names)) == 2
    assert rest.next_page_token == ""


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("backends/nobody", grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        ("nobody", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("backends/", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("backends/" + "x" * 1000, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
    ],
)
async def test_a_wrong_name_is_told(
    admin: Any, refused: Any, name: str, code: grpc.StatusCode, reason: str
) -> None:
    for call in (
        admin.DrainBackend(pb.DrainBackendRequest(name=name)),
        admin.UndrainBackend(pb.UndrainBackendRequest(name=name)),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (code, reason)
