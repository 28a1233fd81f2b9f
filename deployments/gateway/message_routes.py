"""Messages over HTTP: list a branch, ask, answer again, stop, confirm receipt."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from deployments.gateway.answer_stream import answer
from deployments.gateway.conversation_models import (
    AcceptedModel,
    Cursor,
    MessageBody,
    MessageModel,
    MessagePage,
    RegenerateBody,
    StoppedModel,
)
from deployments.gateway.cursors import cursor_of_message, place_of
from deployments.gateway.models import Limit
from deployments.gateway.principal import ReadingChatter, ReplyingChatter, RequestId
from deployments.gateway.services import GatewayServices, Services
from domain.conversation import Question, Session
from domain.ids import ChatbotId, MessageId, SessionId, TurnId, new_uuid
from domain.prompting.audience import locale_of
from domain.tenancy import Chatter
from storage.postgres.database import tenant_tx
from storage.postgres.messages import Messages
from storage.postgres.sessions import Sessions

router = APIRouter(tags=["chat"], prefix="/chatbots/{chatbot_id}/sessions/{session_id}")
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The answer's frames, when asked for."}
}


@router.get("/messages")
async def list_messages(
    chatbot_id: UUID,
    session_id: UUID,
    services: Services,
    chatter: ReadingChatter,
    turn_id: UUID | None = None,
    limit: Limit = 50,
    cursor: Cursor | None = None,
) -> MessagePage:
    """The active branch, or the newest that goes through `turn_id`; oldest first."""
    after = place_of(cursor) if cursor is not None else None
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        messages = Messages(tx)
        session = await Sessions(tx).get_for(chatter, SessionId(session_id), ChatbotId(chatbot_id))
        leaf = session.head_turn_id
        if turn_id is not None:
            leaf = await messages.newest_leaf(chatter.tenant_id, session.id, TurnId(turn_id))
        found = []
        if leaf is not None:
            found = await messages.list_page(chatter.tenant_id, session.id, leaf, limit + 1, after)
    more = cursor_of_message(found[limit - 1]) if len(found) > limit else None
    return MessagePage(items=[MessageModel.of(message) for message in found[:limit]], next_cursor=more)


@router.post("/messages", status_code=202, response_model=AcceptedModel, responses=_STREAM)
async def post_message(
    chatbot_id: UUID,
    session_id: UUID,
    body: MessageBody,
    request: Request,
    services: Services,
    chatter: ReplyingChatter,
    request_id: RequestId,
) -> Response:
    """Ask. Answers 202 once the question is stored, or streams the answer to `Accept: text/event-stream`."""
    session = await _session(services, chatter, chatbot_id, session_id)
    edits = MessageId(body.edits) if body.edits else None
    locale = locale_of(request.headers.get("accept-language", ""))
    question = Question(str(body.id or new_uuid()), body.text, edits=edits, locale=locale)
    events = services.conversations.submit(chatter.tenant_id, session.id, question, request_id)
    return await answer(events, request, request_id)


@router.post("/turns/{turn_id}/regenerate", status_code=202, response_model=AcceptedModel, responses=_STREAM)
async def regenerate(
    chatbot_id: UUID,
    session_id: UUID,
    turn_id: UUID,
    request: Request,
    services: Services,
    chatter: ReplyingChatter,
    request_id: RequestId,
    body: RegenerateBody | None = None,
) -> Response:
    """Answer the turn's question again, in a branch beside it. Answers as a posted message does."""
    session = await _session(services, chatter, chatbot_id, session_id)
    client_id = body.id if body else None
    locale = locale_of(request.headers.get("accept-language", ""))
    question = Question(str(client_id or new_uuid()), regenerates=TurnId(turn_id), locale=locale)
    events = services.conversations.submit(chatter.tenant_id, session.id, question, request_id)
    return await answer(events, request, request_id)


@router.post("/turns/{turn_id}/stop")
async def stop(
    chatbot_id: UUID, session_id: UUID, turn_id: UUID, services: Services, chatter: ReplyingChatter
) -> StoppedModel:
    """End the turn if it runs; what was written stays."""
    session = await _session(services, chatter, chatbot_id, session_id)
    return StoppedModel(stopped=await services.conversations.stop(chatter.tenant_id, session.id, TurnId(turn_id)))


@router.post("/messages/{message_id}/delivered", status_code=204)
async def confirm_delivery(
    chatbot_id: UUID, session_id: UUID, message_id: UUID, services: Services, chatter: ReadingChatter
) -> Response:
    """The reader has this answer and every earlier one of the session."""
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        session = await Sessions(tx).get_for(chatter, SessionId(session_id), ChatbotId(chatbot_id))
        messages = Messages(tx)
        await messages.require_answer(chatter.tenant_id, session.id, MessageId(message_id))
        await messages.mark_delivered(chatter.tenant_id, session.id, MessageId(message_id))
    return Response(status_code=204)


async def _session(services: GatewayServices, chatter: Chatter, chatbot_id: UUID, session_id: UUID) -> Session:
    """Checked in a transaction of its own: the answer may take long, and holds no connection."""
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        return await Sessions(tx).get_for(chatter, SessionId(session_id), ChatbotId(chatbot_id))
