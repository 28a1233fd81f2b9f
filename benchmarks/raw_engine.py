"""The scripted engine in a process of its own: a JSON line in is a question, a JSON line out is a token."""

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from configs.tables import load_models
from deployments.llm.engines.scripted import ScriptedEngine
from domain.generation import GenerationRequest, PromptMessage


def request_of(question: dict[str, str]) -> GenerationRequest:
    return GenerationRequest(question["id"], "m", (PromptMessage("user", question["text"]),), 4096)


async def serve(engine_name: str, models_file: str, port: int) -> None:
    engine = ScriptedEngine(load_models(Path(models_file)).engines[engine_name])
    await engine.open()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                async for delta in engine.generate(request_of(json.loads(line))):
                    if delta.text:
                        writer.write(json.dumps({"t": delta.text, "n": delta.tokens}).encode() + b"\n")
                        await writer.drain()
                writer.write(b"{}\n")
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    name, file, number = sys.argv[1:4]
    uvloop.run(serve(name, file, int(number)))
