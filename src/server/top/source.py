"""Source: asks a balancer how its cluster is, or a model server how it is itself."""

import grpc

from chatterbox.errors import InvalidRequest
from chatterbox.v1 import admin_service_pb2 as pb
from chatterbox.v1.admin_service_pb2_grpc import AdminServiceStub
from chatterbox.v1.backend_pb2 import Backend
from chatterbox.worker.v1.worker_service_pb2 import WatchLoadRequest
from chatterbox.worker.v1.worker_service_pb2_grpc import WorkerServiceStub
from server.top.look import BalancerLook, Look, balancer_look, lone_server_look, server_look

ANSWER_S = 2.0
NOT_SAID = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED)


class Source:
    """What is behind a channel."""

    def __init__(self, channel: grpc.aio.Channel, address: str) -> None:
        self.address = address
        self._admin = AdminServiceStub(channel)
        self._worker = WorkerServiceStub(channel)

    async def look(self) -> Look:
        """How it is now.

        Raises AioRpcError when nobody answers, InvalidRequest when it is neither a balancer nor a
        model server, or tells strangers nothing.
        """
        try:
            backends = await self._backends()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            return await self._lone_server()
        servers = tuple(server_look(backend) for backend in backends)
        return Look(servers=servers, balancer=await self._balancer())

    async def _backends(self) -> list[Backend]:
        request = pb.ListBackendsRequest(page_size=1000)
        found: list[Backend] = []
        while True:
            page = await self._admin.ListBackends(request, timeout=ANSWER_S)
            found.extend(page.backends)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def _balancer(self) -> BalancerLook:
        return balancer_look(
            await self._admin.GetBalancer(pb.GetBalancerRequest(), timeout=ANSWER_S)
        )

    async def _lone_server(self) -> Look:
        call = self._worker.WatchLoad(WatchLoadRequest(), timeout=ANSWER_S)
        try:
            load = await anext(aiter(call))
        except grpc.aio.AioRpcError as error:
            if error.code() not in NOT_SAID:
                raise
            raise InvalidRequest(
                f"the server at {self.address} tells nothing of a cluster; ask its balancer"
            ) from None
        finally:
            call.cancel()
        return Look(servers=(lone_server_look(load, address=self.address),), balancer=None)
