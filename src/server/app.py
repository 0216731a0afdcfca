"""The composition root: builds a model server in order and takes it down in reverse."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import grpc
import structlog
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from chatterbox.audio.decode import Decoder
from chatterbox.conversion import Converter
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.protocol import Engine
from chatterbox.engine.tone import ToneEngine
from chatterbox.errors import ConfigError
from chatterbox.process.addresses import dial_address, listen_on
from chatterbox.process.admission import Admission
from chatterbox.process.auth.guard import guarding
from chatterbox.process.grpc_options import server_options
from chatterbox.process.metrics import metrics_endpoint
from chatterbox.process.tls import server_credentials
from chatterbox.process.tracing import tracing
from chatterbox.synthesis import Synthesizer
from chatterbox.text_length import CHARACTERS
from chatterbox.v1 import (
    models_service_pb2,
    openai_service_pb2,
    text_to_speech_service_pb2,
    voice_conversion_service_pb2,
    voices_service_pb2,
    watermark_service_pb2,
)
from chatterbox.v1.models_service_pb2_grpc import add_ModelsServiceServicer_to_server
from chatterbox.v1.openai_service_pb2_grpc import add_OpenAIServiceServicer_to_server
from chatterbox.v1.text_to_speech_service_pb2_grpc import (
    add_TextToSpeechServiceServicer_to_server,
)
from chatterbox.v1.voice_conversion_service_pb2_grpc import (
    add_VoiceConversionServiceServicer_to_server,
)
from chatterbox.v1.voices_service_pb2_grpc import add_VoicesServiceServicer_to_server
from chatterbox.v1.watermark_service_pb2_grpc import add_WatermarkServiceServicer_to_server
from chatterbox.voices.folder_store import FolderStore, user_voices
from chatterbox.voices.library import VoiceLibrary, bundled_voices
from chatterbox.worker.v1.worker_service_pb2_grpc import add_WorkerServiceServicer_to_server
from server.conversion import VoiceConversionService
from server.health import ServiceHealth
from server.interceptors import CallInterceptor
from server.metrics import ServerMetrics
from server.models import ModelsService
from server.openai import OpenAIService
from server.resume import resume_key
from server.settings import ServerSettings
from server.speech import TextToSpeechService
from server.totals import Totals
from server.voices import VoicesService
from server.watermark import WatermarkService, watermark_of
from server.worker import WorkerService, load_message

# From the descriptors, which reflection shows only if their modules are loaded.
SERVICES = tuple(
    service.full_name
    for module in (
        text_to_speech_service_pb2,
        voices_service_pb2,
        voice_conversion_service_pb2,
        models_service_pb2,
        openai_service_pb2,
        watermark_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
)
TONE_VOICES = Path(str(resources.files("chatterbox"))) / "assets" / "tone" / "voices"
CLOSING_S = 1.0  # for calls that do not speak: lists end by themselves, health watches never

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that is warm and takes calls."""

    address: str  # as a client dials it
    port: int
    metrics_port: int | None
    engine: Engine
    voices: VoiceLibrary
    admission: Admission


@asynccontextmanager
async def serving(
    settings: ServerSettings, *, engine: Engine | None = None
) -> AsyncIterator[RunningServer]:
    """Run a server while the context lasts; entered when it is SERVING.

    Leaving drains: NOT_SERVING at once, running streams get `settings.drain_s` to finish. A ready
    made `engine` takes the place of the one the settings name; it is started and stopped here.
    Raises ConfigError or CheckpointError when it cannot start.
    """
    check_entrance(settings)
    engine = engine or build_engine(settings)
    store = FolderStore(settings.voices_dir or user_voices())
    store.sweep()
    voices = VoiceLibrary(voice_roots(settings), store=store)
    admission = Admission(settings.max_streams)
    health = ServiceHealth(SERVICES)
    registry = CollectorRegistry()
    metrics = ServerMetrics(registry)
    _show(metrics, engine, admission)
    async with AsyncExitStack() as stack:
        stack.enter_context(voices.watching())
        metrics_port = stack.enter_context(
            metrics_endpoint(registry, port=settings.metrics_port, host=settings.metrics_host)
        )
        tracer = await stack.enter_async_context(
            tracing(settings.otlp_endpoint, service="chatterbox-server")
        )
        guard = await stack.enter_async_context(
            guarding(settings, meters=CHARACTERS, registry=registry, prefix="chatterbox")
        )
        server = grpc.aio.server(
            interceptors=[*guard.interceptors, CallInterceptor(metrics, tracer)],
            options=server_options(),
            maximum_concurrent_rpcs=settings.max_calls,
        )
        synthesizer = Synthesizer(engine=engine, voices=voices)
        _add_services(server, settings, synthesizer, admission, metrics.totals)
        await health.register(server)
        port = listen_on(server, settings.listen, server_credentials(settings.tls))
        await server.start()
        stack.push_async_callback(engine.stop)
        stack.push_async_callback(server.stop, CLOSING_S)
        await engine.start()  # loads and warms up, while health says NOT_SERVING
        await stack.enter_async_context(health.following(engine))
        stack.push_async_callback(_drain, health, admission, settings.drain_s)
        address = dial_address(settings.listen, port)
        log.info("listening", address=address, models=list(engine.families))
        yield RunningServer(
            address=address,
            port=port,
            metrics_port=metrics_port,
            engine=engine,
            voices=voices,
            admission=admission,
        )


def _show(metrics: ServerMetrics, engine: Engine, admission: Admission) -> None:
    metrics.gauge("streams_active", "Calls that speak now.", lambda: admission.active)
    metrics.gauge(
        "utterances_active", "Utterances speaking or waiting.", lambda: engine.active_count
    )
    metrics.gauge(
        "stream_limit",
        "Streams that the device carries in real time, as measured; 0 while not known.",
        lambda: engine.load.stream_limit or 0,
    )
    metrics.gauge("queued_audio_seconds", "Audio still owed.", lambda: engine.load.queued_audio_s)


def build_engine(settings: ServerSettings) -> Engine:
    """The engine that the settings name, not yet started."""
    config = EngineConfig(
        slots=settings.slots,
        max_waiting=settings.max_waiting,
        max_utilisation=settings.max_utilisation,
        max_wait_s=settings.max_wait_s,
        threads=settings.threads,
    )
    if settings.engine == "tone":
        return ToneEngine(config)
    # OpenMP threads spin for 10 us, then sleep (docs/experiments.md). Read once, when torch is
    # loaded: here and not above, as whoever serves tones need not wait for it.
    os.environ.setdefault("OMP_WAIT_POLICY", "ACTIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    from chatterbox.engine.model_device import model_engine

    return model_engine(
        settings.family,
        settings.weights,
        device=settings.device,
        precision=settings.precision,
        config=config,
    )


def check_entrance(settings: ServerSettings) -> None:
    """Raises ConfigError when strangers could call. Whoever has a certificate is none."""
    asks_for_certificates = settings.tls is not None and settings.tls.client_ca is not None
    listens = () if asks_for_certificates else (settings.listen,)
    settings.check_entrance(*listens, others=", or --tls-client-ca where a balancer is in front")


def voice_roots(settings: ServerSettings) -> list[Path]:
    """Where voices are looked for; the operator's own win."""
    bundled = TONE_VOICES if settings.engine == "tone" else bundled_voices()
    if settings.voices is None:
        return [bundled]
    if not settings.voices.is_dir():
        raise ConfigError(f"--voices: {settings.voices} is not a folder")
    return [settings.voices, bundled]


def _add_services(
    server: grpc.aio.Server,
    settings: ServerSettings,
    synthesizer: Synthesizer,
    admission: Admission,
    totals: Totals,
) -> None:
    engine, voices = synthesizer.engine, synthesizer.voices
    marker = watermark_of(settings)
    add_TextToSpeechServiceServicer_to_server(
        TextToSpeechService(
            synthesizer,
            admission,
            idle_timeout_s=settings.idle_timeout_s,
            marker=marker,
            resume_key=resume_key(settings.resume_key_file),
        ),
        server,
    )
    add_VoicesServiceServicer_to_server(VoicesService(voices, engine), server)
    add_VoiceConversionServiceServicer_to_server(
        VoiceConversionService(
            Converter(engine=engine, voices=voices),
            admission,
            idle_timeout_s=settings.idle_timeout_s,
            marker=marker,
        ),
        server,
    )
    add_ModelsServiceServicer_to_server(ModelsService(engine), server)
    openai = OpenAIService(synthesizer, admission, marker=marker)
    add_OpenAIServiceServicer_to_server(openai, server)
    add_WatermarkServiceServicer_to_server(WatermarkService(Decoder()), server)
    worker = WorkerService(lambda: load_message(engine, admission, voices, totals))
    add_WorkerServiceServicer_to_server(worker, server)
    if settings.serves_reflection:
        names = (*SERVICES, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)


async def _drain(health: ServiceHealth, admission: Admission, drain_s: float) -> None:
    await health.stop()
    log.info("draining", streams=admission.active, drain_s=drain_s)
    if not await admission.drain(timeout_s=drain_s):
        log.warning("streams are cut off", streams=admission.active)
