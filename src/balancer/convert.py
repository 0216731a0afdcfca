"""Backends as the messages that operators see."""

from google.protobuf import duration_pb2

from balancer.upstream import Upstream
from chatterbox.v1.backend_pb2 import Backend


def backend_message(upstream: Upstream, *, now_s: float) -> Backend:
    """A backend at this moment."""
    message = Backend(
        name=f"backends/{upstream.id}",
        address=upstream.address,
        state=upstream.state(now_s),
        active_streams=upstream.streams,
        max_streams=upstream.max_streams(now_s),
        models=sorted(upstream.models),
    )
    load = upstream.load(now_s)
    if load is not None:
        seconds, part = divmod(load.queued_audio_s, 1)
        message.queued_audio.CopyFrom(
            duration_pb2.Duration(seconds=int(seconds), nanos=int(part * 1e9))
        )
        message.slots, message.free_slots, message.waiting = (
            load.slots,
            load.free_slots,
            load.waiting,
        )
        message.version = load.version
    return message
