"""The raw limit of streaming: one uvicorn process that plays the same scripted engine into plain WebSocket frames."""

import asyncio
import json
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from configs.tables import load_models
from deployments.llm.engines.scripted import ScriptedEngine
from domain.generation import GenerationRequest, PromptMessage


def relay(engine_name: str, models_file: str) -> Starlette:
    """An application whose socket answers every `message` frame with the engine's tokens, one frame each."""
    from pathlib import Path

    table = load_models(Path(models_file))
    engine = ScriptedEngine(table.engines[engine_name])
    ready = asyncio.Event()

    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        if not ready.is_set():
            await engine.open()
            ready.set()
        try:
            while True:
                frame = json.loads(await websocket.receive_text())
                request = GenerationRequest(frame["id"], "m", (PromptMessage("user", frame["text"]),), 4096)
                seq = 0
                async for delta in engine.generate(request):
                    if delta.text:
                        seq += 1
                        token = {"type": "token", "turn_id": frame["id"], "seq": seq, "text": delta.text}
                        await websocket.send_text(json.dumps(token, separators=(",", ":")))
                await websocket.send_text(json.dumps({"type": "done", "turn_id": frame["id"], "seq": seq + 1}))
        except WebSocketDisconnect:
            return

    return Starlette(routes=[WebSocketRoute("/ws", chat)])


def main() -> None:
    engine_name, models_file, port = sys.argv[1:4]
    uvicorn.run(
        relay(engine_name, models_file), host="127.0.0.1", port=int(port), log_level="error", ws="websockets-sansio"
    )


if __name__ == "__main__":
    main()
