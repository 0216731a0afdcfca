"""Backends, and the balancer itself, as the messages that operators see."""

from google.protobuf import duration_pb2

from balancer.metrics import Totals
from balancer.upstream import Upstream
from chatterbox import __version__
from chatterbox.v1.backend_pb2 import Backend
from chatterbox.v1.balancer_pb2 import Balancer
from chatterbox.v1.totals_pb2 import BalancerTotals


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
        message.real_time_streams = load.real_time_streams or 0
        message.resident_voices.extend(sorted(load.resident_voices))
        if load.totals is not None:
            message.totals.CopyFrom(load.totals)
    return message


def balancer_message(totals: Totals, *, active: int, waiting: int) -> Balancer:
    """A balancer at this moment."""
    return Balancer(
        name="balancer",
        active_calls=active,
        waiting_calls=waiting,
        totals=BalancerTotals(
            calls=totals.calls,
            failed_calls=totals.failures,
            refused_calls=totals.refused,
            retries=totals.retries,
            lost_streams=totals.broken,
            resumed_streams=totals.resumes,
        ),
        version=__version__,
    )
