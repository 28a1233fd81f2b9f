"""Feedback on answers: readers rate them, the tenant's people read the ratings."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from redis.exceptions import RedisError

from deployments.gateway.conversation_models import (
    Cursor,
    FeedbackBody,
    FeedbackModel,
    FeedbackPage,
    RatedAnswerModel,
)
from deployments.gateway.cursors import cursor_of_rating, moment_of
from deployments.gateway.models import Limit
from deployments.gateway.principal import RatingChatter, require
from deployments.gateway.services import GatewayServices, Services
from domain.conversation import Rating
from domain.errors import Unavailable
from domain.ids import ChatbotId, MessageId, SessionId
from domain.permissions import Permission
from domain.tenancy import Chatter, Principal
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Transaction, tenant_tx
from storage.postgres.feedback import Ratings
from storage.postgres.messages import Messages
from storage.postgres.sessions import Sessions
from storage.postgres.tenant_keys import cipher_of
from storage.redis.kept_answers import KeptAnswers

router = APIRouter(tags=["feedback"])

_FEEDBACK = "/chatbots/{chatbot_id}/sessions/{session_id}/messages/{message_id}/feedback"


@router.put(_FEEDBACK)
async def put_feedback(
    chatbot_id: UUID,
    session_id: UUID,
    message_id: UUID,
    body: FeedbackBody,
    services: Services,
    chatter: RatingChatter,
) -> FeedbackModel:
    """Rate an answer; rating it again replaces what was said before. One that is rated down is kept no more for
    questions asked again."""
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        answer = await _answer(tx, chatter, chatbot_id, session_id, message_id)
        if body.rating is Rating.DOWN:
            await _retract(tx, services, chatter, chatbot_id, SessionId(session_id), answer)
        return FeedbackModel.of(await Ratings(tx).put(chatter.tenant_id, answer, body.rating, body.comment))


@router.delete(_FEEDBACK, status_code=204)
async def delete_feedback(
    chatbot_id: UUID, session_id: UUID, message_id: UUID, services: Services, chatter: RatingChatter
) -> Response:
    """Take the rating back; without one there is nothing to do."""
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        answer = await _answer(tx, chatter, chatbot_id, session_id, message_id)
        await Ratings(tx).delete(chatter.tenant_id, answer)
    return Response(status_code=204)


@router.get("/chatbots/{chatbot_id}/feedback")
async def list_feedback(
    chatbot_id: UUID,
    services: Services,
    principal: Annotated[Principal, require(Permission.FEEDBACK_READ)],
    limit: Limit = 50,
    cursor: Cursor | None = None,
) -> FeedbackPage:
    """All ratings of the bot's answers, the last given first."""
    before = moment_of(cursor) if cursor is not None else None
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        bot = await Chatbots(tx).get(principal.tenant_id, ChatbotId(chatbot_id))
        found = await Ratings(tx).list_page(principal.tenant_id, bot.id, limit + 1, before)
    more = cursor_of_rating(found[limit - 1]) if len(found) > limit else None
    return FeedbackPage(items=[RatedAnswerModel.of(rated) for rated in found[:limit]], next_cursor=more)


async def _retract(
    tx: Transaction,
    services: GatewayServices,
    chatter: Chatter,
    chatbot_id: UUID,
    session_id: SessionId,
    answer: MessageId,
) -> None:
    """Raises Unavailable while the kept answers are away: whoever rates tries again, and it is given no more."""
    text = await Messages(tx).answer_text(chatter.tenant_id, session_id, answer)
    cipher = await cipher_of(tx, chatter.tenant_id)
    try:
        await KeptAnswers(services.redis).retract(cipher, chatter.tenant_id, ChatbotId(chatbot_id), text)
    except RedisError as error:
        raise Unavailable from error


async def _answer(tx: Transaction, chatter: Chatter, chatbot_id: UUID, session_id: UUID, message_id: UUID) -> MessageId:
    """Raises NotFound for what this chatter cannot see, Unprocessable for a question."""
    session = await Sessions(tx).get_for(chatter, SessionId(session_id), ChatbotId(chatbot_id))
    await Messages(tx).require_answer(chatter.tenant_id, session.id, MessageId(message_id))
    return MessageId(message_id)
