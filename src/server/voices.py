"""VoicesService: which voices there are; makes, changes, removes, gives out and takes in voices."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator

import grpc
import structlog
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.empty_pb2 import Empty

from chatterbox.audio.decode import Decoder
from chatterbox.engine.protocol import Engine
from chatterbox.errors import InvalidRequest
from chatterbox.process.pages import page_of
from chatterbox.v1 import voice_pb2
from chatterbox.v1 import voices_service_pb2 as pb
from chatterbox.v1.voices_service_pb2_grpc import VoicesServiceServicer
from chatterbox.voices import archive
from chatterbox.voices.library import VoiceLibrary
from chatterbox.voices.recording import hear
from chatterbox.voices.store import REFERENCE, VOICE_JSON
from chatterbox.voices.voice import Voice, check_consent
from server import convert, convert_voices
from server.uploads import Upload, Uploads

MAX_UNARY_AUDIO_BYTES = 12 * 1024 * 1024
_EXPORT_PIECE_BYTES = 256 * 1024

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext  # of whatever messages: no handler here uses it


class VoicesService(VoicesServiceServicer):
    """Serves the voices of a library, as far as `engine` can speak with them."""

    def __init__(self, voices: VoiceLibrary, engine: Engine) -> None:
        self._voices = voices
        self._families = list(engine.families)
        self._decoder = Decoder()
        self._uploads = Uploads()

    async def ListVoices(
        self,
        request: pb.ListVoicesRequest,
        context: Context[pb.ListVoicesRequest, pb.ListVoicesResponse],
    ) -> pb.ListVoicesResponse:
        """A page of voices, by name."""
        # Whoever has just made one may ask another server next.
        voices = await asyncio.to_thread(self._voices.list, anew=True)
        page, next_token = page_of(
            voices,
            key=lambda voice: voice.id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        messages = [self._message(voice) for voice in page]
        return pb.ListVoicesResponse(voices=messages, next_page_token=next_token)

    async def GetVoice(
        self, request: pb.GetVoiceRequest, context: Context[pb.GetVoiceRequest, voice_pb2.Voice]
    ) -> voice_pb2.Voice:
        """One voice."""
        voice = await asyncio.to_thread(self._voices.get, _id(request.name), anew=True)
        return self._message(voice)

    async def CreateVoice(
        self,
        request: pb.CreateVoiceRequest,
        context: Context[pb.CreateVoiceRequest, voice_pb2.Voice],
    ) -> voice_pb2.Voice:
        """A voice from a recording that came in one message."""
        if len(request.audio) > MAX_UNARY_AUDIO_BYTES:
            raise InvalidRequest(
                f"audio has more than {MAX_UNARY_AUDIO_BYTES} bytes; upload it in pieces",
                field="audio",
                reason="TOO_LARGE",
            )
        with self._uploads.place():
            return await self._create(request, request.audio)

    async def UploadVoice(
        self,
        request_iterator: AsyncIterator[pb.UploadVoiceRequest],
        context: Context[pb.UploadVoiceRequest, voice_pb2.Voice],
    ) -> voice_pb2.Voice:
        """A voice from a recording that comes in pieces."""
        with self._uploads.place():
            upload = await Upload.receive(
                request_iterator, lambda message: message.audio, field="audio"
            )
            return await self._create(upload.first, upload.data)

    async def UpdateVoice(
        self,
        request: pb.UpdateVoiceRequest,
        context: Context[pb.UpdateVoiceRequest, voice_pb2.Voice],
    ) -> voice_pb2.Voice:
        """A voice of which something else is told."""
        voice_id = _id(request.voice.name, field="voice.name")
        changes = convert_voices.changes(request.voice, request.update_mask)
        voice = await asyncio.to_thread(self._voices.update, voice_id, changes)
        _note("a voice was changed", voice_id)
        return self._message(voice)

    async def DeleteVoice(
        self, request: pb.DeleteVoiceRequest, context: Context[pb.DeleteVoiceRequest, Empty]
    ) -> Empty:
        """A voice is gone."""
        voice_id = _id(request.name)
        await asyncio.to_thread(self._voices.delete, voice_id)
        _note("a voice was deleted", voice_id)
        return Empty()

    async def ExportVoice(
        self, request: pb.ExportVoiceRequest, context: Context[pb.ExportVoiceRequest, HttpBody]
    ) -> AsyncGenerator[HttpBody, None]:
        """A voice as one file, in pieces."""
        content = await asyncio.to_thread(self._packed, _id(request.name))
        for start in range(0, len(content), _EXPORT_PIECE_BYTES):
            piece = content[start : start + _EXPORT_PIECE_BYTES]
            yield HttpBody(content_type=archive.MEDIA_TYPE, data=piece)

    async def ImportVoice(
        self,
        request_iterator: AsyncIterator[pb.ImportVoiceRequest],
        context: Context[pb.ImportVoiceRequest, voice_pb2.Voice],
    ) -> voice_pb2.Voice:
        """A voice from such a file."""
        with self._uploads.place():
            upload = await Upload.receive(
                request_iterator, lambda message: message.archive, field="archive"
            )
            voice = await asyncio.to_thread(self._unpack, upload)
        _note("a voice was taken in", voice.id)
        return self._message(voice)

    async def _create(
        self, request: pb.CreateVoiceRequest | pb.UploadVoiceRequest, audio: bytes
    ) -> voice_pb2.Voice:
        """What can be refused is refused before what takes long."""
        check_consent(request.consent, field="consent")
        voice = convert_voices.new_voice(request.voice_id, request.voice, consent_s=time.time())
        await asyncio.to_thread(self._voices.check_new, voice.id)
        recording = await hear(audio, self._decoder)
        voice = voice.made_from(recording.reference)
        if not request.validate_only:
            files = {REFERENCE: recording.content}
            voice = await asyncio.to_thread(self._voices.add, voice, files)
            _note("a voice was made", voice.id)
        return self._message(voice)

    def _packed(self, voice_id: str) -> bytes:
        files = self._voices.files(voice_id)
        files.pop(VOICE_JSON)
        return archive.pack(self._voices.get(voice_id), files)

    def _unpack(self, upload: Upload[pb.ImportVoiceRequest]) -> Voice:
        asked = upload.first
        unpacked = archive.unpack(
            upload.data,
            voice_id=asked.voice_id,
            consent_s=time.time() if asked.consent else None,
        )
        return self._voices.add(unpacked.voice, unpacked.files)

    def _message(self, voice: Voice) -> voice_pb2.Voice:
        return convert_voices.voice_message(voice, families=self._families)


def _id(name: str, *, field: str = "name") -> str:
    return convert.resource_id(name, collection="voices", field=field)


def _note(event: str, voice_id: str) -> None:
    """Who copies whose voice should be found in the log, with the call's id and its caller."""
    log.info(event, voice=voice_id)
