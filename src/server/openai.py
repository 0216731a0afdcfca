"""OpenAIService: speech as OpenAI's API asks for it."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any, Protocol

import grpc
from google.api.httpbody_pb2 import HttpBody

from chatterbox.audio.output import Marker
from chatterbox.engine.config import TOKEN_RATE_HZ
from chatterbox.errors import ChatterboxError, InvalidRequest, NotFound
from chatterbox.process.admission import Admission
from chatterbox.process.status import code_of, openai_type
from chatterbox.speech import SpeechEvent, Summary
from chatterbox.synthesis import Synthesizer
from chatterbox.v1 import openai_service_pb2 as pb
from chatterbox.v1.openai_service_pb2_grpc import OpenAIServiceServicer
from server.calls import current_call
from server.openai_request import OPENAI_VOICES, SpeechOrder, openai_field, speech_order
from server.outlet import Outlet

OWNER = "chatterbox"


class OpenAIService(OpenAIServiceServicer):
    """Speaks with one synthesizer, for as many calls as `admission` lets in."""

    def __init__(
        self, synthesizer: Synthesizer, admission: Admission, *, marker: Marker | None = None
    ) -> None:
        """`marker` puts a watermark into all that is said."""
        self._synthesizer = synthesizer
        self._admission = admission
        self._marker = marker

    async def CreateSpeech(
        self,
        request: pb.CreateSpeechRequest,
        context: grpc.aio.ServicerContext[pb.CreateSpeechRequest, HttpBody],
    ) -> AsyncGenerator[HttpBody, None]:
        """The file or the events asked for, in pieces."""
        with self._admission.place(), _openai_fields():
            order = await self._with_voice(speech_order(request))
            delivery = order.form.delivery(is_marked=self._marker is not None)
            config = replace(order.config, delivery=delivery)
            events = _noted(self._synthesizer.speak(config, order.text))
            body = _Events() if order.is_sse else _File()
            outlet = Outlet(order.form, marker=self._marker)
            async with aclosing(events), aclosing(_bodies(events, outlet, body)) as bodies:
                async for piece in bodies:
                    yield piece

    async def ListOpenAIModels(
        self,
        request: pb.ListOpenAIModelsRequest,
        context: grpc.aio.ServicerContext[pb.ListOpenAIModelsRequest, pb.ListOpenAIModelsResponse],
    ) -> pb.ListOpenAIModelsResponse:
        """All models, by id."""
        models = [_model(family) for family in sorted(self._synthesizer.engine.families)]
        return pb.ListOpenAIModelsResponse(object="list", data=models)

    async def GetOpenAIModel(
        self,
        request: pb.GetOpenAIModelRequest,
        context: grpc.aio.ServicerContext[pb.GetOpenAIModelRequest, pb.OpenAIModel],
    ) -> pb.OpenAIModel:
        """One model."""
        if request.model not in self._synthesizer.engine.families:
            name = request.model[:80]
            raise NotFound(f"there is no model {name!r}", resource=f"models/{name}")
        return _model(request.model)

    async def _with_voice(self, order: SpeechOrder) -> SpeechOrder:
        """The order with the default voice in place of one of OpenAI's that is not here."""
        voice = order.config.voice
        if voice in OPENAI_VOICES:
            try:
                await asyncio.to_thread(self._synthesizer.voices.get, voice)
            except NotFound:
                return replace(order, config=replace(order.config, voice=None))
        return order


class _Body(Protocol):
    """How encoded sound is laid out in the answer's body."""

    def media_type(self, outlet: Outlet) -> str: ...

    def piece(self, data: bytes) -> bytes: ...

    def end(self, summary: Summary) -> bytes: ...

    def failure(self, error: ChatterboxError) -> bytes: ...


class _File:
    """The sound and nothing else."""

    def media_type(self, outlet: Outlet) -> str:
        return outlet.media_type

    def piece(self, data: bytes) -> bytes:
        return data

    def end(self, summary: Summary) -> bytes:
        return b""

    def failure(self, error: ChatterboxError) -> bytes:
        return b""  # a broken transfer is all that a file can tell


class _Events:
    """Server-sent events, with the sound in base64."""

    def media_type(self, outlet: Outlet) -> str:
        return "text/event-stream"

    def piece(self, data: bytes) -> bytes:
        return _event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})

    def end(self, summary: Summary) -> bytes:
        read = summary.character_count
        spoken = round(summary.audio_duration_s * TOKEN_RATE_HZ)
        usage = {"input_tokens": read, "output_tokens": spoken, "total_tokens": read + spoken}
        return _event({"type": "speech.audio.done", "usage": usage})

    def failure(self, error: ChatterboxError) -> bytes:
        told = {
            "message": error.message,
            "type": openai_type(code_of(error)),
            "param": None,
            "code": error.reason,
        }
        return _event({"type": "error", "error": told})


async def _bodies(
    events: AsyncIterator[SpeechEvent], outlet: Outlet, body: _Body
) -> AsyncGenerator[HttpBody, None]:
    """The answer's body in pieces. Nothing is sent before there is sound: a failure until then is
    an HTTP status."""
    media_type = ""
    has_begun = False
    try:
        async for event in events:
            data = await asyncio.to_thread(outlet.bytes_of, event)
            media_type = media_type or body.media_type(outlet)
            if data:
                has_begun = True
                yield HttpBody(content_type=media_type, data=body.piece(data))
            if isinstance(event, Summary) and (end := body.end(event)):
                yield HttpBody(content_type=media_type, data=end)
    except ChatterboxError as error:
        if has_begun and (failure := body.failure(error)):
            yield HttpBody(content_type=media_type, data=failure)
        raise


async def _noted(events: AsyncGenerator[SpeechEvent, None]) -> AsyncGenerator[SpeechEvent, None]:
    """The events, noted in the call's record; closes `events` when left."""
    call = current_call.get()
    async with aclosing(events):
        async for event in events:
            call.note(event)
            yield event


def _event(content: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


def _model(family: str) -> pb.OpenAIModel:
    return pb.OpenAIModel(id=family, object="model", created=0, owned_by=OWNER)


@contextmanager
def _openai_fields() -> Iterator[None]:
    """Let errors name fields as OpenAI does."""
    try:
        yield
    except InvalidRequest as error:
        error.field = openai_field(error.field)
        raise
