"""Files that come in pieces: all of them, or a refusal."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.api.httpbody_pb2 import HttpBody

from chatterbox.errors import InvalidRequest, Overloaded, SessionIdle
from server import uploads
from server.uploads import Upload, Uploads


async def sent(*pieces: bytes, pause_s: float = 0.0) -> AsyncIterator[HttpBody]:
    for piece in pieces:
        yield HttpBody(data=piece)
        await asyncio.sleep(pause_s)


async def received(messages: AsyncIterator[HttpBody]) -> Upload[HttpBody]:
    return await Upload.receive(messages, lambda message: message, field="audio")


async def test_the_pieces_are_joined_and_the_first_message_kept() -> None:
    upload = await received(sent(b"one", b"", b"two"))
    assert upload.data == b"onetwo"
    assert upload.first == HttpBody(data=b"one")


async def test_nothing_and_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="nothing"):
        await received(sent())
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 5)
    assert (await received(sent(b"12345"))).data == b"12345"
    with pytest.raises(InvalidRequest) as refusal:
        await received(sent(b"123", b"456"))
    assert (refusal.value.reason, refusal.value.field) == ("TOO_LARGE", "audio")


async def test_who_sends_nothing_for_long_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "IDLE_S", 0.01)
    with pytest.raises(SessionIdle):
        await received(sent(b"one", b"two", pause_s=5.0))


def test_only_so_many_may_come_in_at_once() -> None:
    places = Uploads(most=1)
    with places.place(), pytest.raises(Overloaded), places.place():
        pass
    with places.place():
        pass
