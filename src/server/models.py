"""ModelsService: which models are loaded."""

import grpc

from chatterbox.engine.protocol import Engine
from chatterbox.errors import NotFound
from chatterbox.process.pages import page_of
from chatterbox.v1 import model_pb2
from chatterbox.v1 import models_service_pb2 as pb
from chatterbox.v1.models_service_pb2_grpc import ModelsServiceServicer
from server import convert
from server.convert_model import model_message


class ModelsService(ModelsServiceServicer):
    """Shows the model families of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._families = engine.families

    async def ListModels(
        self,
        request: pb.ListModelsRequest,
        context: grpc.aio.ServicerContext[pb.ListModelsRequest, pb.ListModelsResponse],
    ) -> pb.ListModelsResponse:
        """A page of models, by name."""
        page, next_token = page_of(
            sorted(self._families.values(), key=lambda family: family.id),
            key=lambda family: family.id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        messages = [model_message(family) for family in page]
        return pb.ListModelsResponse(models=messages, next_page_token=next_token)

    async def GetModel(
        self,
        request: pb.GetModelRequest,
        context: grpc.aio.ServicerContext[pb.GetModelRequest, model_pb2.Model],
    ) -> model_pb2.Model:
        """One model."""
        model_id = convert.resource_id(request.name, collection="models", field="name")
        if model_id not in self._families:
            raise NotFound(f"there is no model {model_id!r}", resource=f"models/{model_id}")
        return model_message(self._families[model_id])
