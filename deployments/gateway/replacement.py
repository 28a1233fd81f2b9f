"""How a replica learns that Serve is replacing it, as early as the load balancers do.

Serve calls no hook of ours before the end, but the health check that every replica's own HTTP server answers to
HAProxy says `DRAINING` from the moment the controller asked the replica to stop. It goes on listening for 30 seconds
after that (RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S), then it cuts every socket, or is killed.
"""

import asyncio
from contextlib import suppress

from deployments.gateway.drain import Drain

GRACE_SECONDS = 25.0
"""For running answers; what is longer goes on at the client's next socket."""
_ANSWER_SECONDS = 2.0
_ANSWER_BYTES = 4096


async def drain_when_replaced(drain: Drain) -> None:
    """Look once and drain when it is time; for `actors.loops.repeat`. Without a socket there is nothing to do."""
    host, port = drain.served_at or ("", None)
    if port is None or drain.begun:
        return
    draining = False
    with suppress(OSError):  # TimeoutError is one
        async with asyncio.timeout(_ANSWER_SECONDS):
            draining = await _is_draining(host, port)
    if draining:
        await drain.begin(GRACE_SECONDS)


async def _is_draining(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /-/healthz HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read(_ANSWER_BYTES)
        head, _, body = answer.partition(b"\r\n\r\n")
        if b" 503 " in head.partition(b"\r\n")[0] and not body:
            body = await reader.read(_ANSWER_BYTES)
        return b" 503 " in head.partition(b"\r\n")[0] and b"DRAINING" in body
    finally:
        writer.close()
