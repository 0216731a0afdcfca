"""Letting Envoy's running requests end before it does."""

import asyncio
import http.client
import json
import time

from server.stack.edge import host_and_port

LOOK_S = 0.1
ADMIN_S = 2.0
ACTIVE = "http.edge.downstream_rq_active"


async def drain_edge(admin: str, *, timeout_s: float) -> None:
    """Let Envoy take no more connections, and wait for the requests that run, `timeout_s` at most.

    Quiet when Envoy does not answer: then there is nothing to wait for.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        await _ask(admin, "POST", "/healthcheck/fail")
        await _ask(admin, "POST", "/drain_listeners?graceful&skip_exit")
        while time.monotonic() < deadline_s and await _active(admin):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
    except (OSError, http.client.HTTPException, ValueError):
        return


async def _active(admin: str) -> int:
    answer = await _ask(admin, "GET", f"/stats?format=json&filter=^{ACTIVE}$")
    return sum(stat["value"] for stat in json.loads(answer)["stats"] if stat.get("name") == ACTIVE)


async def _ask(admin: str, verb: str, path: str) -> bytes:
    return await asyncio.to_thread(_request, admin, verb, path)


def _request(admin: str, verb: str, path: str) -> bytes:
    host, port = host_and_port(admin)
    connection = http.client.HTTPConnection(host, port, timeout=ADMIN_S)
    try:
        connection.request(verb, path)
        return connection.getresponse().read()
    finally:
        connection.close()
