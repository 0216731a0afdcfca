"""VoiceConversionService: speech in, the same speech in another voice out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import grpc

from chatterbox.audio.output import Marker, OutputChain, OutputFormat
from chatterbox.conversion import ConversionEvent, Converted, Converter
from chatterbox.errors import InvalidRequest
from chatterbox.process.admission import Admission
from chatterbox.speech import Audio, Started, Warned
from chatterbox.v1 import conversion_pb2 as pb
from chatterbox.v1 import synthesis_pb2
from chatterbox.v1.voice_conversion_service_pb2_grpc import VoiceConversionServiceServicer
from server import conversion_request as asked
from server.calls import current_call
from server.conversion_source import LiveSource, Source, read_ahead, sliced, source_of
from server.convert_audio import WIRE_ENCODINGS
from server.responses import duration

MAX_RECORDING_BYTES = 12 * 1024 * 1024
MAX_RECORDING_S = 3600.0

Response = pb.ConvertVoiceResponse
Context = grpc.aio.ServicerContext[pb.ConvertVoiceRequest, Response]
UnaryContext = grpc.aio.ServicerContext[pb.ConvertRecordingRequest, Response]


class VoiceConversionService(VoiceConversionServiceServicer):
    """Converts with one converter, for as many calls as `admission` lets in."""

    def __init__(
        self,
        converter: Converter,
        admission: Admission,
        *,
        idle_timeout_s: float,
        marker: Marker | None = None,
    ) -> None:
        """`marker` puts a watermark into all that is converted."""
        self._converter = converter
        self._admission = admission
        self._idle_timeout_s = idle_timeout_s
        self._marker = marker

    async def ConvertVoice(
        self, request_iterator: AsyncIterator[pb.ConvertVoiceRequest], context: Context
    ) -> AsyncGenerator[Response, None]:
        """Convert speech while it arrives."""
        live = LiveSource(request_iterator, idle_timeout_s=self._idle_timeout_s)
        with self._admission.place(), asked.wire_fields(is_live=True):
            settings = asked.first_config(await live.first())
            pcm_hz = asked.pcm_rate_hz(settings.source)
            pieces = live.pieces()
            async with (
                aclosing(pieces),
                aclosing(source_of(pieces, pcm_hz=pcm_hz)) as source,
                aclosing(self._convert(settings, source)) as responses,
            ):
                async for response in responses:
                    yield response

    async def ConvertRecording(
        self, request: pb.ConvertRecordingRequest, context: UnaryContext
    ) -> AsyncGenerator[Response, None]:
        """Convert a recording that came as a whole."""
        with self._admission.place(), asked.wire_fields(is_live=False):
            content = request.audio.data
            _check_recording(content)
            pieces = sliced(content)
            pcm_hz = asked.pcm_rate_hz(request.source)
            async with aclosing(pieces), aclosing(source_of(pieces, pcm_hz=pcm_hz)) as source:
                # What cannot be read is refused before the answer begins, as REST wants it.
                readable = await read_ahead(source)
                converting = self._convert(request, readable, max_source_s=MAX_RECORDING_S)
                async with aclosing(converting) as responses:
                    async for response in responses:
                        yield response

    async def _convert(
        self, settings: asked.Settings, source: Source, **limits: float
    ) -> AsyncGenerator[Response, None]:
        config, form = asked.conversion_config(settings)
        call = current_call.get()
        wire = _Responses(request_id=call.request_id, form=form, marker=self._marker)
        async with aclosing(self._converter.convert(config, source, **limits)) as events:
            async for event in events:
                if isinstance(event, Started | Audio):
                    call.note(event)
                # Marking and encoding take long enough for others to wait.
                for response in await asyncio.to_thread(wire.to, event):
                    yield response


def _check_recording(content: bytes) -> None:
    if not content:
        raise InvalidRequest("the recording is empty", field="audio", reason="REQUIRED")
    if len(content) > MAX_RECORDING_BYTES:
        raise InvalidRequest(
            f"audio has more than {MAX_RECORDING_BYTES} bytes; ConvertVoice takes it in pieces",
            field="audio",
            reason="TOO_LARGE",
        )


class _Responses:
    """One conversion's events as messages, on the clock of what is heard."""

    def __init__(self, *, request_id: str, form: OutputFormat, marker: Marker | None) -> None:
        self._request_id = request_id
        self._form = form
        self._marker = marker
        self._chain: OutputChain | None = None
        self._sequence = 0

    def to(self, event: ConversionEvent) -> list[Response]:
        """The messages for this event; encodes: call it from a thread, one call at a time."""
        match event:
            case Started():
                # What somebody has said is as long as it was: its silences stay.
                self._chain = OutputChain(
                    self._form,
                    from_hz=event.sample_rate_hz,
                    marker=self._marker,
                    trims_tails=False,
                )
                return [Response(started=self._started(event, self._chain))]
            case Audio():
                chain = self._begun
                return self._chunk(chain, chain.sent, chain.push(event.clip))
            case Warned():
                told = synthesis_pb2.SynthesisWarning(code=event.code, message=event.message)
                return [Response(warning=told)]
            case Converted():
                chain = self._begun
                rest = self._chunk(chain, chain.sent, chain.finish())
                return [*rest, Response(summary=_summary(event, chain))]

    @property
    def _begun(self) -> OutputChain:
        assert self._chain is not None, "Started is the first event"
        return self._chain

    def _chunk(self, chain: OutputChain, began: int, content: bytes) -> list[Response]:
        if not content:
            return []
        chunk = synthesis_pb2.AudioChunk(
            audio_content=content,
            sequence=self._sequence,
            offset=duration(began / chain.sample_rate_hz),
        )
        self._sequence += 1
        return [Response(audio=chunk)]

    def _started(self, event: Started, chain: OutputChain) -> pb.ConversionStarted:
        return pb.ConversionStarted(
            request_id=self._request_id,
            model=f"models/{event.model}",
            voice=f"voices/{event.voice}" if event.voice else "",
            audio_encoding=WIRE_ENCODINGS[self._form.encoding],
            sample_rate_hertz=chain.sample_rate_hz,
            seed=event.seed,
            watermarked=self._marker is not None,
        )


def _summary(event: Converted, chain: OutputChain) -> pb.ConversionSummary:
    return pb.ConversionSummary(
        source_duration=duration(event.source_s),
        audio_duration=duration(chain.heard / chain.sample_rate_hz),
        time_to_first_audio=duration(event.time_to_first_audio_s),
        conversion_duration=duration(event.conversion_duration_s),
        compute_duration=duration(event.compute_duration_s),
        real_time_factor=event.compute_duration_s / event.source_s,
    )
