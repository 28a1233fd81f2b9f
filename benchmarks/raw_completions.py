"""The raw limit of streamed completions: one uvicorn process that says a fixed answer in OpenAI's protocol."""

import json
import sys
from collections.abc import AsyncGenerator
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route


def application(word: str, tokens: int) -> Starlette:
    """A server-sent event per token, as `/v1/chat/completions` has them, and the usage."""

    async def complete(request: Request) -> StreamingResponse:
        model = (await request.json())["model"]
        name = f"chatcmpl-{uuid4()}"

        def record(choices: list[dict[str, object]], **more: object) -> str:
            chunk = {"id": name, "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices}
            return f"data: {json.dumps(chunk | more, separators=(',', ':'))}\n\n"

        async def chunks() -> AsyncGenerator[str, None]:
            for number in range(tokens):
                delta = {"content": f"{word} " if number < tokens - 1 else word}
                yield record([{"index": 0, "delta": delta, "finish_reason": None}])
            yield record([{"index": 0, "delta": {}, "finish_reason": "stop"}])
            yield record([], usage={"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1})
            yield "data: [DONE]\n\n"

        return StreamingResponse(chunks(), media_type="text/event-stream")

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])


if __name__ == "__main__":
    port, said, count = sys.argv[1:]
    uvicorn.run(application(said, int(count)), host="127.0.0.1", port=int(port), log_level="error")
