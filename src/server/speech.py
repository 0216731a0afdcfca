"""TextToSpeechService: text in, speech out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any

import grpc
from google.protobuf.message import Message

from chatterbox.audio.output import Marker, OutputFormat
from chatterbox.errors import InvalidRequest
from chatterbox.place import Journal, SpeechPlace
from chatterbox.process.admission import Admission
from chatterbox.speech import SpeechConfig, SpeechEvent
from chatterbox.synthesis import Synthesizer
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceServicer
from server import convert
from server.calls import current_call
from server.live import LiveInputs
from server.responses import Responses
from server.resume import Resumption

Response = pb.StreamingSynthesizeResponse
Context = grpc.aio.ServicerContext[pb.StreamingSynthesizeRequest, Response]
AnyContext = Any  # either of the two
UnaryContext = grpc.aio.ServicerContext[pb.SynthesizeRequest, Response]


class TextToSpeechService(TextToSpeechServiceServicer):
    """Speaks with one synthesizer, for as many calls as `admission` lets in."""

    def __init__(
        self,
        synthesizer: Synthesizer,
        admission: Admission,
        *,
        idle_timeout_s: float,
        marker: Marker | None = None,
        resume_key: bytes | None = None,
    ) -> None:
        """`marker` puts a watermark into all that is said; for `resume_key` see `Resumption`."""
        self._synthesizer = synthesizer
        self._admission = admission
        self._idle_timeout_s = idle_timeout_s
        self._marker = marker
        self._resume_key = resume_key

    async def StreamingSynthesize(
        self,
        request_iterator: AsyncIterator[pb.StreamingSynthesizeRequest],
        context: Context,
    ) -> AsyncGenerator[Response, None]:
        """Speak text as it is written; see the contract for the order of messages."""
        with self._admission.place(), _wire_fields(is_live=True):
            inputs = LiveInputs(request_iterator, idle_timeout_s=self._idle_timeout_s)
            async with aclosing(inputs):
                config, form = await inputs.config()
                trail = self._trail(context, inputs.first, form)
                wire = trail.wire
                given = (wire.understood(given) async for given in inputs.rest())
                events = self._synthesizer.speak_live(
                    self._out_through(form, config), given, journal=trail.journal, begun=trail.begun
                )
                async with aclosing(trail.responses(events)) as responses:
                    async for response in responses:
                        yield response
                        inputs.touch()

    async def Synthesize(
        self, request: pb.SynthesizeRequest, context: UnaryContext
    ) -> AsyncGenerator[Response, None]:
        """Speak one text that is known as a whole."""
        with self._admission.place(), _wire_fields(is_live=False):
            config, text, form = convert.speech_request(request)
            trail = self._trail(context, request, form)
            events = self._synthesizer.speak(
                self._out_through(form, config), text, journal=trail.journal, begun=trail.begun
            )
            async with aclosing(trail.responses(events)) as responses:
                async for response in responses:
                    yield response

    def _out_through(self, form: OutputFormat, config: SpeechConfig) -> SpeechConfig:
        return replace(config, delivery=form.delivery(is_marked=self._marker is not None))

    def _trail(self, context: AnyContext, first: Message, form: OutputFormat) -> "_Trail":
        call = current_call.get()
        wire = Responses(request_id=call.request_id, form=form, marker=self._marker)
        resumption = Resumption(
            self._resume_key, context.invocation_metadata() or (), method=call.method
        )
        return _Trail(wire, resumption, first, form)


class _Trail:
    """One call's way out, with what others need to go on behind each response, if asked for."""

    def __init__(
        self, wire: Responses, resumption: Resumption, first: Message, form: OutputFormat
    ) -> None:
        """Raises InvalidRequest if the call is to go on where none like it can have been."""
        self.wire = wire
        self.journal: Journal | None = None
        self.begun: SpeechPlace | None = None
        self._resumption = resumption
        begun = resumption.begun(first)
        if resumption.is_wanted and form.can_resume:
            self.journal = Journal()
        if begun is not None:
            self.begun = begun.place
            wire.restore(begun.output)

    async def responses(
        self, events: AsyncGenerator[SpeechEvent, None]
    ) -> AsyncGenerator[Response, None]:
        """The events as responses, noted in the call's record; closes `events` when left."""
        call = current_call.get()
        async with aclosing(events):
            async for event in events:
                call.note(event)
                # Now: while the event is turned into responses, the session may take in more.
                place = None if self.journal is None else self.journal.place()
                # Marking and encoding take long enough for others to wait.
                responses = await asyncio.to_thread(self.wire.to, event)
                if place is not None and responses:
                    # Only the last has all of the event before it.
                    self._resumption.sign(responses[-1], place, self.wire.state())
                for response in responses:
                    yield response


@contextmanager
def _wire_fields(*, is_live: bool) -> Iterator[None]:
    """Let errors name fields as the client wrote them."""
    try:
        yield
    except InvalidRequest as error:
        error.field = convert.wire_field(error.field, is_live=is_live)
        raise
