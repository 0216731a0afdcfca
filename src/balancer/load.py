"""Load: what a backend last told of itself."""

from dataclasses import dataclass

from chatterbox.v1.totals_pb2 import ServerTotals
from chatterbox.worker.v1 import worker_service_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One report of a model server, as numbers and names."""

    slots: int  # at least 1
    real_time_streams: int | None  # that the device carries, as measured, at least 1
    free_slots: int
    waiting: int  # utterances
    queued_audio_s: float
    max_streams: int  # at least 1
    active_streams: int  # whoever sent them
    resident_voices: frozenset[str]  # voices/ada
    models: frozenset[str]  # models/tiny
    draining: bool
    version: str
    totals: ServerTotals | None  # passed on as they are


def load_of(message: pb.WatchLoadResponse) -> Load:
    """The report in a message; whatever it says, the numbers can be reckoned with."""
    slots = max(1, message.slots)
    return Load(
        slots=slots,
        real_time_streams=max(1, message.real_time_streams) if message.real_time_streams else None,
        free_slots=min(max(0, message.free_slots), slots),
        waiting=max(0, message.waiting),
        queued_audio_s=max(0.0, message.queued_audio.seconds + message.queued_audio.nanos / 1e9),
        max_streams=max(1, message.max_streams),
        active_streams=max(0, message.active_streams),
        resident_voices=frozenset(message.resident_voices),
        models=frozenset(message.models),
        draining=message.draining,
        version=message.version,
        totals=message.totals if message.HasField("totals") else None,
    )
