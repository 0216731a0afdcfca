"""VoicesService: which voices there are."""

import asyncio

import grpc

from chatterbox.engine.protocol import Engine
from chatterbox.process.pages import page_of
from chatterbox.v1 import voice_pb2
from chatterbox.v1 import voices_service_pb2 as pb
from chatterbox.v1.voices_service_pb2_grpc import VoicesServiceServicer
from chatterbox.voices.library import VoiceLibrary
from server import convert


class VoicesService(VoicesServiceServicer):
    """Shows the voices of a library, as far as `engine` can speak with them."""

    def __init__(self, voices: VoiceLibrary, engine: Engine) -> None:
        self._voices = voices
        self._families = list(engine.families)

    async def ListVoices(
        self,
        request: pb.ListVoicesRequest,
        context: grpc.aio.ServicerContext[pb.ListVoicesRequest, pb.ListVoicesResponse],
    ) -> pb.ListVoicesResponse:
        """A page of voices, by name."""
        voices = await asyncio.to_thread(self._voices.list)
        page, next_token = page_of(
            voices,
            key=lambda voice: voice.id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        messages = [convert.voice_message(voice, families=self._families) for voice in page]
        return pb.ListVoicesResponse(voices=messages, next_page_token=next_token)

    async def GetVoice(
        self,
        request: pb.GetVoiceRequest,
        context: grpc.aio.ServicerContext[pb.GetVoiceRequest, voice_pb2.Voice],
    ) -> voice_pb2.Voice:
        """One voice."""
        voice_id = convert.resource_id(request.name, collection="voices", field="name")
        voice = await asyncio.to_thread(self._voices.get, voice_id)
        return convert.voice_message(voice, families=self._families)
