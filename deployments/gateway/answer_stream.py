"""An answer over HTTP: accepted at once, or streamed as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import structlog
from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from deployments.gateway.conversation_models import AcceptedModel
from deployments.gateway.frames import error_frame, frame_of
from deployments.gateway.services import Event
from domain.errors import AppError, Unavailable

log = structlog.get_logger()

_KEEP_ALIVE_SECONDS = 15.0


async def answer(events: AsyncGenerator[Event, None], request: Request, request_id: str) -> Response:
    """Wait until the question is stored; then 202, or the stream of the answer for `Accept: text/event-stream`.

    Raises AppError when the question is refused.
    """
    ack = await acknowledged(events)
    structlog.contextvars.bind_contextvars(turn_id=ack["turn"])
    if "text/event-stream" in request.headers.get("accept", ""):
        return StreamingResponse(
            _server_sent(ack, events, request_id),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
    await _close(events)
    accepted = AcceptedModel(turn_id=ack["turn"], message_id=ack["message_id"], duplicate=ack["duplicate"])
    return JSONResponse(accepted.model_dump(mode="json"), 202)


async def acknowledged(events: AsyncGenerator[Event, None]) -> Event:
    """The first event, in a task of its own: a client that leaves must not stop a question on its way to the store.

    Raises AppError when the question is refused.
    """
    first = asyncio.ensure_future(_first(events))
    try:
        return await asyncio.shield(first)
    except asyncio.CancelledError:
        first.add_done_callback(lambda task: task.cancelled() or task.exception())
        raise


async def _first(events: AsyncGenerator[Event, None]) -> Event:
    try:
        return await anext(events)
    except StopAsyncIteration:
        raise Unavailable from None


async def _close(events: AsyncGenerator[Event, None]) -> None:
    with suppress(AppError):
        await events.aclose()


async def _server_sent(ack: Event, events: AsyncGenerator[Event, None], request_id: str) -> AsyncGenerator[str, None]:
    """`event: <frame type>` and `data: <frame>`; a comment now and then keeps idle proxies from closing."""
    yield _record(ack, request_id)
    waiting = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait((waiting,), timeout=_KEEP_ALIVE_SECONDS)
            if not done:
                yield ": still here\n\n"
                continue
            event = waiting.result()
            if event is None:
                return
            yield _record(event, request_id)
            if event["k"] in ("done", "error"):
                return
            waiting = asyncio.ensure_future(anext(events, None))
    except AppError as error:
        yield f"event: error\ndata: {error_frame(error, request_id, turn_id=ack['turn'])}\n\n"
    except Exception:
        log.exception("answer.failed")
        yield f"event: error\ndata: {error_frame(AppError(), request_id, turn_id=ack['turn'])}\n\n"
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError, AppError):
            await waiting
        await _close(events)


def _record(event: Event, request_id: str) -> str:
    return f"event: {event['k']}\ndata: {frame_of(event, request_id)}\n\n"
