"""The raw limits of streaming: one uvicorn process that plays the scripted engine into plain WebSocket frames.

`in_process` has the engine in the same process, which no system of several processes can reach; `remote` has it in
another one, and relays a JSON line per token from one TCP connection per socket, as anybody would begin.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.processes import tree
from benchmarks.raw_engine import request_of
from cluster.embedded.process import free_port, port_is_free
from configs.tables import load_models
from deployments.llm.engines.scripted import ScriptedEngine
from tests.fixtures.installation_folder import ROOT

Question = dict[str, Any]
Texts = Callable[[Question], AsyncGenerator[str, None]]


@dataclass(frozen=True)
class Relay:
    """A running relay; `pids` are its processes, the engine's included."""

    url: str
    pids: tuple[int, ...]

    def processes(self) -> list[psutil.Process]:
        return [process for pid in self.pids for process in tree(pid)]


def application(answers: Callable[[], Texts]) -> Starlette:
    """A socket answers every `message` frame with the tokens of `answers()`, one frame each."""

    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        texts = answers()
        try:
            while True:
                question = json.loads(await websocket.receive_text())
                seq = 0
                async for text in texts(question):
                    seq += 1
                    token = {"type": "token", "turn_id": question["id"], "seq": seq, "text": text}
                    await websocket.send_text(json.dumps(token, separators=(",", ":")))
                await websocket.send_text(json.dumps({"type": "done", "turn_id": question["id"], "seq": seq + 1}))
        except WebSocketDisconnect:
            return

    return Starlette(routes=[WebSocketRoute("/ws", chat)])


def engine_here(engine_name: str, models_file: str) -> Callable[[], Texts]:
    engine = ScriptedEngine(load_models(Path(models_file)).engines[engine_name])

    async def texts(question: Question) -> AsyncGenerator[str, None]:
        await engine.open()
        async for delta in engine.generate(request_of(question)):
            if delta.text:
                yield delta.text

    return lambda: texts


def engine_at(port: int) -> Callable[[], Texts]:
    def connection() -> Texts:
        streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

        async def texts(question: Question) -> AsyncGenerator[str, None]:
            if not streams:
                streams.append(await asyncio.open_connection("127.0.0.1", port))
            reader, writer = streams[0]
            try:
                writer.write(json.dumps(question).encode() + b"\n")
                while token := json.loads(await reader.readline()):
                    yield token["t"]
            except BaseException:
                writer.close()
                raise

        return texts

    return connection


@contextmanager
def raw_relay(engine: str, models_file: Path, *, remote: bool) -> Iterator[Relay]:
    """A relay of the scripted engine of that name, its engine in the same process or in another one."""
    with ExitStack() as stack:
        port = free_port()
        relay = [sys.executable, "-m", "benchmarks.raw_relay", engine, str(models_file), str(port)]
        pids = []
        if remote:
            engine_port = free_port()
            command = [sys.executable, "-m", "benchmarks.raw_engine", engine, str(models_file), str(engine_port)]
            pids.append(stack.enter_context(serving(command, engine_port)))
            relay.append(str(engine_port))
        pids.append(stack.enter_context(serving(relay, port)))
        yield Relay(f"ws://127.0.0.1:{port}/ws", tuple(pids))


@contextmanager
def serving(command: list[str], port: int) -> Iterator[int]:
    """The pid of a process that listens on `port`."""
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while port_is_free(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[2]} did not start")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    engine, models_file, port, *engine_port = sys.argv[1:]
    answers = engine_at(int(engine_port[0])) if engine_port else engine_here(engine, models_file)
    uvicorn.run(application(answers), host="127.0.0.1", port=int(port), log_level="error", ws="websockets-sansio")


if __name__ == "__main__":
    main()
