"""chatterbox: the command line. A command that fails says why in one line and exits with 2."""

import sys
from collections.abc import Sequence

import grpc
import typer
from typer.exceptions import TyperException

from chatterbox.errors import ChatterboxError
from server.cli_backends import backends
from server.cli_bench import bench
from server.cli_certs import certs
from server.cli_convert import convert
from server.cli_evaluate import evaluate
from server.cli_keys import keys
from server.cli_lists import models
from server.cli_say import say
from server.cli_top import top
from server.cli_voices import voices
from server.cli_watermark import watermark

PROGRAM = "chatterbox"
FAILURE_EXIT = 2
INTERRUPTED_EXIT = 130  # as a shell reports SIGINT

app = typer.Typer(
    help="Text to speech, streamed, on your own machine.",
    add_completion=False,
    no_args_is_help=True,
)
app.command()(say)
app.command()(convert)
app.add_typer(voices, name="voices")
app.command()(models)
app.command()(backends)
app.command()(top)
app.command()(evaluate)
app.command()(bench)
app.command()(certs)
app.add_typer(keys, name="keys")
app.add_typer(watermark, name="watermark")


# The flags of these have one home, their settings, and so has their help.
OWN_FLAGS = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


@app.command(context_settings=OWN_FLAGS)
def serve(context: typer.Context) -> int:
    """Serve until Ctrl-C; `chatterbox serve --help` lists the settings."""
    # Not at the top: the other commands need not wait for the engine's libraries.
    from server.__main__ import serve as serve_until_told_to_stop

    return serve_until_told_to_stop(context.args, program=f"{PROGRAM} serve")


@app.command(context_settings=OWN_FLAGS)
def up(context: typer.Context) -> int:
    """Run model servers, balancer and edge; `chatterbox up --help` lists the settings."""
    from server.cli_stack import up as run_the_stack

    return run_the_stack(context.args, program=f"{PROGRAM} up")


@app.command(context_settings=OWN_FLAGS)
def envoy(context: typer.Context) -> int:
    """Write Envoy's configuration for production; `chatterbox envoy --help` lists the settings."""
    from server.cli_envoy import envoy as write_configuration

    return write_configuration(context.args, program=f"{PROGRAM} envoy")


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    command = typer.main.get_command(app)
    try:
        result = command.main(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except TyperException as error:
        return _fail(error.format_message())
    except ChatterboxError as error:
        return _fail(error.message)
    except grpc.aio.AioRpcError as error:
        return _fail(error.details() or f"the server said {error.code().name}")
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED_EXIT
    return result if isinstance(result, int) else 0


def _fail(message: str) -> int:
    sys.stderr.write(f"{PROGRAM}: {' '.join(message.split())}\n")
    return FAILURE_EXIT
