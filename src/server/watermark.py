"""WatermarkService: whether a recording is marked as synthetic."""

import asyncio

import grpc
import structlog

from chatterbox.audio.clip import Clip
from chatterbox.audio.decode import Decoder
from chatterbox.audio.perth import is_installed
from chatterbox.audio.watermark import Watermark
from chatterbox.audio.watermark_detector import THRESHOLD, WatermarkDetector
from chatterbox.errors import InvalidRequest, Overloaded
from chatterbox.v1 import watermark_service_pb2 as pb
from chatterbox.v1.watermark_service_pb2_grpc import WatermarkServiceServicer
from server.responses import duration
from server.settings import ServerSettings

MAX_AUDIO_BYTES = 3 * 1024 * 1024  # as base64 it still fits into a message of 4 MiB
MAX_LISTENED_S = 120.0
MAX_OPEN = 8  # listened to or waiting; more are refused

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[pb.DetectWatermarkRequest, pb.DetectWatermarkResponse]


def watermark_of(settings: ServerSettings) -> Watermark | None:
    """What marks all speech of a server; None where it is turned off or the package is missing.

    Tones are no speech, and are never marked.
    """
    if not settings.watermark or settings.engine == "tone":
        return None
    if not is_installed():
        log.warning("speech is not watermarked: resemble-perth is not installed")
        return None
    return Watermark.load()


class WatermarkService(WatermarkServiceServicer):
    """Listens to one recording at a time."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._turn = asyncio.Lock()
        self._open = 0

    async def DetectWatermark(
        self, request: pb.DetectWatermarkRequest, context: Context
    ) -> pb.DetectWatermarkResponse:
        """Look for the watermark in a recording."""
        audio = request.audio_content
        if not audio:
            raise _refusal("audio_content is missing", reason="REQUIRED")
        if len(audio) > MAX_AUDIO_BYTES:
            raise _refusal(
                f"a recording has at most {MAX_AUDIO_BYTES} bytes, not {len(audio)}",
                reason="AUDIO_TOO_LARGE",
            )
        if self._open >= MAX_OPEN:
            raise Overloaded(f"{self._open} recordings are being listened to already")
        self._open += 1
        try:
            score, listened_s = await self._judged(audio)
        finally:
            self._open -= 1
        return pb.DetectWatermarkResponse(
            watermarked=score >= THRESHOLD,
            score=score,
            duration=duration(listened_s),
        )

    async def _judged(self, audio: bytes) -> tuple[float, float]:
        async with self._turn:
            decoded = await self._decoder.decode(
                audio, max_seconds=MAX_LISTENED_S, field="audio_content"
            )
            score = await asyncio.to_thread(_score, decoded.clip)
        return score, decoded.clip.duration_s


def _score(clip: Clip) -> float:
    return WatermarkDetector().score([clip])


def _refusal(message: str, *, reason: str) -> InvalidRequest:
    return InvalidRequest(message, field="audio_content", reason=reason)
