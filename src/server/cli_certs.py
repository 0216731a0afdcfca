"""`chatterbox certs`: certificates for trying TLS out."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def certs(
    folder: Annotated[Path, typer.Argument(help="Where to write them.")] = Path("certs"),
    *,
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--host", help="Name or address by which the parts are called; this machine by default."
        ),
    ] = None,
) -> None:
    """Make an authority and a certificate each for edge, balancer and server; keep what is there.

    For development and private networks. Where there is an authority already, use that.
    """
    # Not at the top: the other commands need not load all of cryptography.
    from server.certificates import THIS_MACHINE, make_certificates

    written = make_certificates(folder, hosts or THIS_MACHINE)
    for path in written:
        sys.stdout.write(f"Wrote {path}\n")
    if not written:
        sys.stdout.write(f"All of them are in {folder}\n")
