"""WorkerService: how busy this server is, pushed to whoever chooses between servers."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

import grpc
from google.protobuf.duration_pb2 import Duration

import chatterbox
from chatterbox.engine.protocol import Engine
from chatterbox.process.admission import Admission
from chatterbox.process.metrics import LATENCY_BUCKETS_S
from chatterbox.v1.totals_pb2 import LatencyHistogram, ServerTotals
from chatterbox.voices.library import VoiceLibrary
from chatterbox.worker.v1 import worker_service_pb2 as pb
from chatterbox.worker.v1.worker_service_pb2_grpc import WorkerServiceServicer
from server.totals import Totals

LOOK_S = 0.2  # between two looks at the load: at most five responses in a second
SILENCE_S = 1.0  # after which a response is due though nothing has changed

Context = grpc.aio.ServicerContext[pb.WatchLoadRequest, pb.WatchLoadResponse]


class WorkerService(WorkerServiceServicer):
    """Pushes what `load` says."""

    def __init__(self, load: Callable[[], pb.WatchLoadResponse]) -> None:
        self._load = load

    async def WatchLoad(
        self, request: pb.WatchLoadRequest, context: Context
    ) -> AsyncGenerator[pb.WatchLoadResponse, None]:
        """The load now, and again whenever it has changed or a second has passed."""
        told: pb.WatchLoadResponse | None = None
        due_s = 0.0
        while True:
            load = self._load()
            if load != told or time.monotonic() >= due_s:
                told, due_s = load, time.monotonic() + SILENCE_S - LOOK_S
                yield load
            await asyncio.sleep(LOOK_S)


def load_message(
    engine: Engine, admission: Admission, voices: VoiceLibrary, totals: Totals
) -> pb.WatchLoadResponse:
    """The load of a server with these parts."""
    load = engine.load
    return pb.WatchLoadResponse(
        slots=load.slots,
        free_slots=load.free_slots,
        open_utterances=load.open_utterances,
        waiting=load.waiting,
        queued_audio=Duration(seconds=round(load.queued_audio_s)),
        max_streams=admission.max_streams,
        active_streams=admission.active,
        real_time_streams=load.stream_limit or 0,
        resident_voices=[f"voices/{voice_id}" for voice_id in voices.resident()],
        models=[f"models/{family}" for family in engine.families],
        draining=admission.is_draining,
        version=chatterbox.__version__,
        totals=_totals_message(totals),
    )


def _totals_message(totals: Totals) -> ServerTotals:
    audio = Duration()
    audio.FromMilliseconds(round(totals.audio_s * 1000))
    return ServerTotals(
        calls=totals.calls,
        failed_calls=totals.failures,
        audio=audio,
        underruns=totals.underruns,
        time_to_first_audio=LatencyHistogram(
            upper_bounds_seconds=LATENCY_BUCKETS_S, counts=totals.first_audio
        ),
    )
