"""A client's messages: in order, again if need be, and never too many."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.requests import Requests
from chatterbox.process.resume import Footer


class Source:
    """Gives messages one by one and counts how many were taken."""

    def __init__(self, *messages: bytes) -> None:
        self.taken = 0
        self._messages = messages

    async def read(self) -> object:
        await asyncio.sleep(0)
        if self.taken == len(self._messages):
            return grpc.aio.EOF
        self.taken += 1
        return self._messages[self.taken - 1]


async def sent(requests: Requests, *, until: int | None = None) -> AsyncIterator[bytes]:
    """Send as an attempt does, all or some."""
    number = 0
    async with aclosing(requests.outgoing()) as outgoing:
        while number != until and (message := await anext(outgoing, None)) is not None:
            yield message
            number += 1


@given(
    st.lists(st.binary(max_size=20), max_size=12),
    st.lists(st.integers(0, 12), max_size=3),
)
def test_every_sender_gets_every_message_in_order(messages: list[bytes], stops: list[int]) -> None:
    async def run() -> None:
        requests = Requests(Source(*messages).read, keep_bytes=10_000)
        pump = asyncio.create_task(requests.pump())
        for stop in stops:  # senders that fail on the way
            got = [each async for each in sent(requests, until=min(stop, len(messages)))]
            assert got == messages[:stop]
        assert [each async for each in sent(requests)] == messages
        await pump

    asyncio.run(run())


async def test_a_client_is_slowed_to_the_pace_of_its_backend() -> None:
    source = Source(*[b"x"] * 50)
    requests = Requests(source.read, keep_bytes=10_000)
    pump = asyncio.create_task(requests.pump())
    for _ in range(200):
        await asyncio.sleep(0)
    assert source.taken == 1
    await requests.get(0)
    requests.sent(0)
    for _ in range(200):
        await asyncio.sleep(0)
    assert source.taken == 2
    pump.cancel()


async def test_what_is_too_much_to_keep_cannot_be_repeated() -> None:
    requests = Requests(Source(b"x" * 600, b"y" * 600, b"z").read, keep_bytes=1000)
    pump = asyncio.create_task(requests.pump())
    seen = [(message[:1], requests.can_be_repeated) async for message in sent(requests)]
    await pump
    assert seen == [(b"x", True), (b"y", True), (b"z", False)]
    with pytest.raises(AssertionError):
        await requests.get(1)


async def test_a_client_that_sends_nothing_has_no_first_message() -> None:
    requests = Requests(Source().read, keep_bytes=1000)
    pump = asyncio.create_task(requests.pump())
    assert await requests.get(0) is None
    await pump


async def test_who_goes_on_is_sent_the_first_message_with_the_footer_and_what_was_not_taken() -> (
    None
):
    requests = Requests(Source(b"a", b"b", b"c", b"d").read, keep_bytes=10_000)
    pump = asyncio.create_task(requests.pump())
    assert [each async for each in sent(requests, until=3)] == [b"a", b"b", b"c"]

    begun = Footer(written=b"|state", requests_taken=2)
    requests.acknowledge(begun.requests_taken)

    assert requests.can_go_on
    assert not requests.can_be_repeated
    assert [each async for each in requests.outgoing(begun)] == [b"a|state", b"c", b"d"]
    await pump


async def test_what_was_dropped_without_being_acknowledged_cannot_be_gone_on_with() -> None:
    requests = Requests(Source(b"x" * 600, b"y" * 600, b"z").read, keep_bytes=1000)
    pump = asyncio.create_task(requests.pump())
    async for _ in sent(requests):
        pass
    await pump
    assert not requests.can_go_on
    requests.acknowledge(3)
    assert requests.can_go_on


async def test_a_first_message_that_is_too_much_by_itself_is_not_kept() -> None:
    requests = Requests(Source(b"x" * 2000, b"y").read, keep_bytes=1000)
    pump = asyncio.create_task(requests.pump())
    assert [len(each) async for each in sent(requests)] == [2000, 1]
    await pump
    requests.acknowledge(1)
    assert not requests.can_go_on
