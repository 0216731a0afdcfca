"""chatterbox-balancer: settings, logs, then serve until told to stop."""

import asyncio
import sys
from collections.abc import Sequence

from balancer.app import RunningBalancer, serving
from balancer.settings import BalancerSettings, parse_settings
from chatterbox.errors import ChatterboxError
from chatterbox.process.logs import configure_logs
from chatterbox.process.signals import stop_requested

PROGRAM = "chatterbox-balancer"
USAGE_EXIT = 2
INTERRUPTED_EXIT = 130  # as a shell reports SIGINT


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Serve until a signal; the exit code. A failure to start is one line on standard error."""
    try:
        settings = parse_settings(arguments, program=PROGRAM)
        configure_logs(level=settings.log_level, log_format=settings.log_format)
        asyncio.run(_serve(settings))
    except ChatterboxError as error:
        sys.stderr.write(f"{PROGRAM}: {error.message}\n")
        return USAGE_EXIT
    except KeyboardInterrupt:  # a second Ctrl-C, during the drain
        return INTERRUPTED_EXIT
    return 0


async def _serve(settings: BalancerSettings) -> None:
    with stop_requested() as stop:
        async with serving(settings) as running:
            _announce(running)
            await stop.wait()


def _announce(running: RunningBalancer) -> None:
    backends = ", ".join(upstream.address for upstream in running.pool.upstreams) or "none yet"
    lines = [
        f"The balancer is listening on {running.address} (backends: {backends})",
        f"See them with: chatterbox backends --server {running.address}",
        "Stop with Ctrl-C",
    ]
    if running.metrics_port is not None:
        lines.insert(1, f"Metrics are on port {running.metrics_port}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
