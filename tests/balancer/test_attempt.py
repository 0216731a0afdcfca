"""One try on one backend: what it reads and how it ends, whatever the sending side meets."""

import asyncio
from typing import Any

import grpc
import pytest

from balancer.attempt import Attempt, Outcome
from balancer.pool import Place
from balancer.requests import Requests
from balancer.upstream import Upstream


def attempt_on(backend: Any, requests: Requests) -> Attempt:
    channel = grpc.aio.insecure_channel(backend.address)
    upstream = Upstream(backend.address, channel, max_streams=1)
    return Attempt(
        Place(upstream, lambda: None), "/test/Method", metadata=(), timeout_s=10, requests=requests
    )


async def endless() -> bytes:
    await asyncio.sleep(0)
    return b"x" * 2000


@pytest.mark.parametrize("code", [grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND])
async def test_an_answer_is_whole_though_the_client_is_still_sending(
    backend: Any, code: grpc.StatusCode
) -> None:
    async def answer_early(context: Any) -> None:
        await context.read()
        for number in range(10):
            await context.write(b"%d" % number)
        context.set_trailing_metadata((("x-said", "by the backend"),))
        context.set_code(code)
        context.set_details(code.name)

    backend.script = answer_early
    for _ in range(50):  # a race: gRPC may learn of the failed write before or after the status
        requests = Requests(endless, keep_bytes=0)
        pump = asyncio.create_task(requests.pump())
        attempt = attempt_on(backend, requests)
        seen = []
        while (message := await attempt.read()) is not None:
            seen.append(message)
        outcome = await attempt.outcome()
        pump.cancel()
        attempt.close()
        await attempt.upstream.channel.close()
        assert seen == [b"%d" % number for number in range(10)]
        details = "" if code is grpc.StatusCode.OK else code.name  # gRPC has none for OK
        assert outcome == Outcome(code, details, (("x-said", "by the backend"),))


async def test_closing_leaves_the_place_once_and_stops_the_backend(
    backend: Any, settled: Any
) -> None:
    left = []
    requests = Requests(endless, keep_bytes=0)
    pump = asyncio.create_task(requests.pump())
    channel = grpc.aio.insecure_channel(backend.address)
    upstream = Upstream(backend.address, channel, max_streams=1)
    place = Place(upstream, lambda: left.append(1))
    attempt = Attempt(place, "/test/Method", metadata=(), timeout_s=None, requests=requests)
    assert await attempt.read() is not None
    attempt.close()
    place.leave()
    assert left == [1]
    await settled(lambda: backend.active == 0)
    pump.cancel()
    await channel.close()


@pytest.mark.parametrize(
    ("outcome", "is_lost"),
    [
        (Outcome(grpc.StatusCode.OK, "", ()), False),
        (Outcome(grpc.StatusCode.UNAVAILABLE, "Socket closed", ()), True),
        (Outcome(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2", ()), True),
        (Outcome(grpc.StatusCode.UNAVAILABLE, "I am stopping", (("x-said", "so"),)), False),
        (Outcome(grpc.StatusCode.INTERNAL, "a bug", ()), False),
        (Outcome(grpc.StatusCode.NOT_FOUND, "none", ()), False),
    ],
)
def test_what_the_backend_said_is_told_from_what_nobody_said(
    outcome: Outcome, *, is_lost: bool
) -> None:
    assert outcome.is_lost is is_lost
