"""TextToSpeechService: text in, speech out."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager

import grpc

from chatterbox.errors import InvalidRequest
from chatterbox.process.admission import Admission
from chatterbox.speech import SpeechEvent
from chatterbox.synthesis import Synthesizer
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceServicer
from server import convert
from server.calls import current_call
from server.live import LiveInputs

Response = pb.StreamingSynthesizeResponse
Context = grpc.aio.ServicerContext[pb.StreamingSynthesizeRequest, Response]
UnaryContext = grpc.aio.ServicerContext[pb.SynthesizeRequest, Response]


class TextToSpeechService(TextToSpeechServiceServicer):
    """Speaks with one synthesizer, for as many calls as `admission` lets in."""

    def __init__(
        self, synthesizer: Synthesizer, admission: Admission, *, idle_timeout_s: float
    ) -> None:
        self._synthesizer = synthesizer
        self._admission = admission
        self._idle_timeout_s = idle_timeout_s

    async def StreamingSynthesize(
        self,
        request_iterator: AsyncIterator[pb.StreamingSynthesizeRequest],
        context: Context,
    ) -> AsyncGenerator[Response, None]:
        """Speak text as it is written; see the contract for the order of messages."""
        with self._admission.place(), _wire_fields(is_live=True):
            inputs = LiveInputs(request_iterator, idle_timeout_s=self._idle_timeout_s)
            async with aclosing(inputs):
                config, encoding = await inputs.config()
                events = self._synthesizer.speak_live(config, inputs.rest())
                async with aclosing(_responses(events, encoding)) as responses:
                    async for response in responses:
                        yield response
                        inputs.touch()

    async def Synthesize(
        self, request: pb.SynthesizeRequest, context: UnaryContext
    ) -> AsyncGenerator[Response, None]:
        """Speak one text that is known as a whole."""
        with self._admission.place(), _wire_fields(is_live=False):
            config, text, encoding = convert.speech_request(request)
            events = self._synthesizer.speak(config, text)
            async with aclosing(_responses(events, encoding)) as responses:
                async for response in responses:
                    yield response


async def _responses(
    events: AsyncGenerator[SpeechEvent, None], encoding: pb.AudioEncoding.ValueType
) -> AsyncGenerator[Response, None]:
    """The events as responses, noted in the call's record; closes `events` when left."""
    call = current_call.get()
    wire = convert.Responses(request_id=call.request_id, encoding=encoding)
    async with aclosing(events):
        async for event in events:
            call.note(event)
            yield wire.response(event)


@contextmanager
def _wire_fields(*, is_live: bool) -> Iterator[None]:
    """Let errors name fields as the client wrote them."""
    try:
        yield
    except InvalidRequest as error:
        error.field = convert.wire_field(error.field, is_live=is_live)
        raise
