"""chatterbox-server: settings, logs, then serve until told to stop."""

import asyncio
import sys
from collections.abc import Sequence

from chatterbox.errors import ChatterboxError
from chatterbox.process.logs import configure_logs
from chatterbox.process.signals import stop_requested
from server.app import RunningServer, serving
from server.settings import ServerSettings, parse_settings

USAGE_EXIT = 2
INTERRUPTED_EXIT = 130  # as a shell reports SIGINT


def main() -> None:
    """The console script."""
    sys.exit(serve(sys.argv[1:], program="chatterbox-server"))


def serve(arguments: Sequence[str], *, program: str) -> int:
    """Serve until a signal; the exit code. A failure to start is one line on standard error."""
    try:
        settings = parse_settings(arguments, program=program)
        configure_logs(level=settings.log_level, log_format=settings.log_format)
        asyncio.run(_serve(settings))
    except ChatterboxError as error:
        sys.stderr.write(f"{program}: {error.message}\n")
        return USAGE_EXIT
    except KeyboardInterrupt:  # a second Ctrl-C, during the drain
        return INTERRUPTED_EXIT
    return 0


async def _serve(settings: ServerSettings) -> None:
    with stop_requested() as stop:
        async with serving(settings) as running:
            _announce(running)
            await stop.wait()


def _announce(running: RunningServer) -> None:
    models = ", ".join(running.engine.families)
    voices = ", ".join(voice.id for voice in running.voices.list()) or "none"
    lines = [
        f"Chatterbox is listening on {running.address} (models: {models}; voices: {voices})",
        "Try, in another terminal:",
        '  make say TEXT="Hello there." OUT=hello.wav',
        '  chatterbox say "Hello there." -o hello.wav',
        "Stop with Ctrl-C",
    ]
    if running.metrics_port is not None:
        lines.insert(1, f"Metrics are on port {running.metrics_port}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
