"""Chat sessions and messages over HTTP, the answer as server-sent events, and the socket's address."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from uuid import UUID

import structlog
from fastapi import APIRouter, Request, Response, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse

from deployments.gateway.chat_socket import ChatSocket
from deployments.gateway.frames import error_frame, frame_of
from deployments.gateway.models import (
    AcceptedModel,
    Limit,
    MessageBody,
    MessageModel,
    MessagePage,
    SessionBody,
    SessionModel,
    SessionPage,
)
from deployments.gateway.principal import CurrentPrincipal, RequestId
from deployments.gateway.services import Event, Services, services_of
from domain.errors import AppError, Unavailable
from domain.ids import ChatbotId, SessionId, new_uuid
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx
from storage.postgres.sessions import Sessions

log = structlog.get_logger()
router = APIRouter(tags=["chat"])

_KEEP_ALIVE_SECONDS = 15.0


@router.post("/chatbots/{chatbot_id}/sessions", status_code=201)
async def create_session(
    chatbot_id: UUID, services: Services, principal: CurrentPrincipal, body: SessionBody | None = None
) -> SessionModel:
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        bot = await Chatbots(tx).get(principal.tenant_id, ChatbotId(chatbot_id))
        return SessionModel.of(await Sessions(tx).insert(principal.tenant_id, bot.id, body.title if body else ""))


@router.get("/chatbots/{chatbot_id}/sessions")
async def list_sessions(
    chatbot_id: UUID,
    services: Services,
    principal: CurrentPrincipal,
    limit: Limit = 50,
    cursor: UUID | None = None,
) -> SessionPage:
    """Newest first."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        bot = await Chatbots(tx).get(principal.tenant_id, ChatbotId(chatbot_id))
        found = await Sessions(tx).list_page(principal.tenant_id, bot.id, limit + 1, cursor)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return SessionPage(items=[SessionModel.of(session) for session in found[:limit]], next_cursor=more)


@router.get("/chatbots/{chatbot_id}/sessions/{session_id}/messages")
async def list_messages(
    chatbot_id: UUID,
    session_id: UUID,
    services: Services,
    principal: CurrentPrincipal,
    limit: Limit = 50,
    cursor: UUID | None = None,
) -> MessagePage:
    """Oldest first."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        sessions = Sessions(tx)
        session = await sessions.get(principal.tenant_id, SessionId(session_id), ChatbotId(chatbot_id))
        found = await sessions.list_messages(principal.tenant_id, session.id, limit + 1, cursor)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return MessagePage(items=[MessageModel.of(message) for message in found[:limit]], next_cursor=more)


@router.post(
    "/chatbots/{chatbot_id}/sessions/{session_id}/messages",
    status_code=202,
    response_model=AcceptedModel,
    responses={200: {"content": {"text/event-stream": {}}, "description": "The answer's frames, when asked for."}},
)
async def post_message(
    chatbot_id: UUID,
    session_id: UUID,
    body: MessageBody,
    request: Request,
    services: Services,
    principal: CurrentPrincipal,
    request_id: RequestId,
) -> Response:
    """Ask. Answers 202 once the question is stored, or streams the answer to `Accept: text/event-stream`."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        session = await Sessions(tx).get(principal.tenant_id, SessionId(session_id), ChatbotId(chatbot_id))
    client_id = str(body.id or new_uuid())
    events = services.conversations.submit(principal.tenant_id, session.id, client_id, body.text, request_id)
    ack = await _acknowledged(events)
    structlog.contextvars.bind_contextvars(turn_id=ack["turn"])
    if "text/event-stream" in request.headers.get("accept", ""):
        return StreamingResponse(
            _server_sent(ack, events, request_id),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
    await _close(events)
    accepted = AcceptedModel(turn_id=ack["turn"], message_id=ack["message_id"], duplicate=ack["duplicate"])
    return JSONResponse(accepted.model_dump(mode="json"), 202)


@router.websocket("/chatbots/{chatbot_id}/sessions/{session_id}/ws")
async def open_socket(websocket: WebSocket, chatbot_id: str, session_id: str) -> None:
    await ChatSocket(websocket, services_of(websocket), chatbot_id, session_id).run()


async def _acknowledged(events: AsyncGenerator[Event, None]) -> Event:
    """The first event, in a task of its own: a client that leaves must not stop a question on its way to the store."""
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
