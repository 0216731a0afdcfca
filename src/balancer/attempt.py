"""Attempt: one try to have a call answered, by one backend."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from balancer.metadata import Metadata
from balancer.pool import Place
from balancer.requests import Requests
from chatterbox.process.resume import Footer

DETAILS_KEY = "grpc-status-details-bin"
READ_AHEAD = 2  # messages: the next is read while one is written, a quarter more throughput
STATUS_LOOK_S = 0.001

# What a sound backend does not answer, whatever it is asked.
UNSOUND = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
# What says nothing of it: somebody left, or there was too much to do.
NEUTRAL = (
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)

# How gRPC words what no backend has said.
WRITE_FAILED = "Internal error from Core"
TRANSPORT_WORDS = ("RST_STREAM", "Stream removed", "Socket closed", "GOAWAY")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended."""

    code: grpc.StatusCode
    details: str
    trailing: Metadata

    @property
    def is_ok(self) -> bool:
        """Whether all went well."""
        return self.code is grpc.StatusCode.OK

    @property
    def reason(self) -> str:
        """That of the status' ErrorInfo, "" if it has none."""
        return reason_of(self.trailing)

    @property
    def is_sound(self) -> bool | None:
        """Whether it shows that the backend is sound, or that it is not; None if neither."""
        return None if self.code in NEUTRAL else self.code not in UNSOUND

    @property
    def is_lost(self) -> bool:
        """Whether this status was made up for a backend that could not give one."""
        if self.trailing or self.is_ok:
            return False
        is_wordless = self.code is grpc.StatusCode.UNAVAILABLE
        return is_wordless or any(word in self.details for word in TRANSPORT_WORDS)


class Attempt:
    """A place on a backend, a gRPC call there, and the task that sends it the client's messages."""

    def __init__(
        self,
        place: Place,
        method: str,
        *,
        metadata: Metadata,
        timeout_s: float | None,
        requests: Requests,
        begun: Footer | None = None,
    ) -> None:
        """With `begun` it goes on where an answer to the same requests broke off."""
        self.upstream = place.upstream
        self._place = place
        channel: Any = self.upstream.channel  # whose stub insists on serializers
        self._call = channel.stream_stream(method)(metadata=metadata, timeout=timeout_s)
        self._outcome: Outcome | None = None
        self._call.add_done_callback(self._take_status)
        self._answer: asyncio.Queue[bytes | None] = asyncio.Queue(READ_AHEAD)
        self._tasks = [
            asyncio.create_task(self._send(requests.outgoing(begun))),
            asyncio.create_task(self._receive()),
        ]
        self.read = self._answer.get
        """The next message of the answer; None when there is none, and `outcome` tells why."""

    async def initial_metadata(self) -> Metadata:
        """What the backend sent ahead of its first message."""
        return tuple(await self._call.initial_metadata() or ())

    async def outcome(self) -> Outcome:
        """How it ended, once `read` has said that it did."""
        await self._call.code()
        while self._outcome is None:
            await asyncio.sleep(STATUS_LOOK_S)  # the real one follows a made-up one
            self._take_status(self._call)
        return self._outcome

    def close(self) -> None:
        """Tell the backend to stop, if it has not, and leave the place."""
        for task in self._tasks:
            task.cancel()
        self._call.cancel()
        self._place.leave()

    async def _send(self, outgoing: AsyncGenerator[bytes, None]) -> None:
        try:
            async with aclosing(outgoing):
                async for message in outgoing:
                    await self._call.write(message)
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
            pass  # it has ended early, and the reading side tells why

    async def _receive(self) -> None:
        # Iterated over, not `read`: that gives up unread messages once a write has failed.
        async with aclosing(aiter(self._call)) as messages:
            with suppress(grpc.aio.AioRpcError, grpc.aio.InternalError):  # the outcome tells
                async for message in messages:
                    await self._answer.put(message)
        await self._answer.put(None)

    def _take_status(self, call: Any) -> None:
        """Keep the status of a call that is done, the first that is not made up.

        A write that meets the end of its call makes gRPC give it a status of its own, which comes
        before the backend's or takes its place.
        """
        code, details = _at_once(call.code()), _at_once(call.details()) or ""
        is_made_up = code is grpc.StatusCode.INTERNAL and details == WRITE_FAILED
        if not is_made_up and self._outcome is None:
            trailing = tuple(_at_once(call.trailing_metadata()) or ())
            self._outcome = Outcome(code, details, trailing)


def _at_once(known: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        known.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a call that is done knows its status")


def reason_of(trailing: Metadata) -> str:
    """The reason of the ErrorInfo that a status carries, "" if it carries none."""
    for key, value in trailing:
        if key == DETAILS_KEY and isinstance(value, bytes):
            return _reason_in(value)
    return ""


def _reason_in(packed_status: bytes) -> str:
    try:
        for detail in status_pb2.Status.FromString(packed_status).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                return str(info.reason)
    except DecodeError:  # not ours to judge; it is passed on as it came
        pass
    return ""
