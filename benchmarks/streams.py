"""Tokens per second over multiplexed streams, against a raw TCP echo of every token in the same run.

`python -m benchmarks.streams` prints one dict. The serving side is a process of its own.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from actors.streams import StreamPool, StreamServer
from actors.streams.codec import pack

SECRET = "benchmark"
TOKEN = {"t": " token", "n": 1}


async def generate(payload: Any) -> AsyncGenerator[Any, None]:
    """`steps` tokens, each after a pass of the event loop, as an engine yields one per step to every stream."""
    for _ in range(payload):
        await asyncio.sleep(0)
        yield TOKEN


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _serve(ports: Connection) -> None:
    server = await StreamServer.open({"generate": generate}, secret=SECRET, host="127.0.0.1")
    echo = await asyncio.start_server(_echo, "127.0.0.1", 0)
    ports.send((server.port, echo.sockets[0].getsockname()[1]))
    await asyncio.get_running_loop().run_in_executor(None, ports.recv)
    await server.close()
    echo.close()


def _server_process(ports: Connection) -> None:
    uvloop.run(_serve(ports))


async def _mux(port: int, streams: int, steps: int) -> float:
    pool = StreamPool(SECRET)
    address = f"127.0.0.1:{port}"

    async def consume() -> int:
        async with aclosing(pool.stream(address, "generate", steps)) as items:
            return len([item async for item in items])

    await consume()
    start = time.perf_counter()
    counts = await asyncio.gather(*(consume() for _ in range(streams)))
    seconds = time.perf_counter() - start
    await pool.close()
    assert sum(counts) == streams * steps
    return sum(counts) / seconds


async def _raw(port: int, streams: int, steps: int) -> float:
    """A connection per stream, and one write and one read per token."""
    token = pack(TOKEN)

    async def consume() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(steps):
            writer.write(token)
            await reader.readexactly(len(token))
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(consume() for _ in range(streams)))
    return streams * steps / (time.perf_counter() - start)


async def measure(streams: int = 32, steps: int = 5_000) -> dict[str, float]:
    """Tokens per second of both, and their ratio."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_server_process, args=(there,))
    process.start()
    try:
        mux_port, echo_port = await asyncio.get_running_loop().run_in_executor(None, here.recv)
        raw = await _raw(echo_port, streams, steps)
        mux = await _mux(mux_port, streams, steps)
    finally:
        here.send(None)
        process.join()
    return {
        "streams": streams,
        "mux_tokens_per_second": round(mux),
        "raw_echo_tokens_per_second": round(raw),
        "ratio": round(mux / raw, 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5_000)
    options = parser.parse_args()
    print(uvloop.run(measure(options.streams, options.steps)))
