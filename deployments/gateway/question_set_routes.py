"""Question sets of a chatbot: made, filled from files and from conversations, read and deleted."""

import asyncio
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response

from deployments.gateway.evaluation_models import (
    AddedModel,
    DrawBody,
    QuestionModel,
    QuestionPage,
    QuestionsBody,
    QuestionSetBody,
    QuestionSetList,
    QuestionSetModel,
)
from deployments.gateway.knowledge_routes import MULTIPART
from deployments.gateway.models import Limit
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import require
from deployments.gateway.services import Services
from deployments.gateway.upload import Upload
from domain.audit import Action, Details, Origin, Target
from domain.errors import AppError, Unprocessable
from domain.ids import ChatbotId, QuestionId, QuestionSetId, TenantId
from domain.permissions import Permission, check
from domain.question_files import read_questions
from domain.question_set import MAX_QUESTIONS, NewQuestion
from domain.tenancy import Principal
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Transaction, tenant_tx
from storage.postgres.drawn_questions import draw
from storage.postgres.question_sets import QuestionSets

router = APIRouter(tags=["evaluation"])

Reader = Annotated[Principal, require(Permission.EVALUATIONS_READ)]
Runner = Annotated[Principal, require(Permission.EVALUATIONS_RUN)]
SETS = "/chatbots/{chatbot_id}/question-sets"
SET = SETS + "/{question_set_id}"
MAX_FILE_BYTES = 5 * 1024 * 1024


@router.post(SETS, status_code=201)
async def create_question_set(
    chatbot_id: UUID, body: QuestionSetBody, services: Services, principal: Runner, origin: CurrentOrigin
) -> QuestionSetModel:
    """An empty set; questions are added to it."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        await Chatbots(tx).lock(tenant_id, bot)
        made = await QuestionSets(tx).insert(tenant_id, bot, body.name)
        await _record(tx, tenant_id, origin, Action.QUESTION_SET_CREATE, made.id, {"chatbot_id": str(bot)})
    return QuestionSetModel.of(made)


@router.get(SETS)
async def list_question_sets(chatbot_id: UUID, services: Services, principal: Reader) -> QuestionSetList:
    """Oldest first."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        await Chatbots(tx).get(tenant_id, bot)
        found = await QuestionSets(tx).list_all(tenant_id, bot)
    return QuestionSetList(items=[QuestionSetModel.of(one) for one in found])


@router.get(SET)
async def get_question_set(
    chatbot_id: UUID, question_set_id: UUID, services: Services, principal: Reader
) -> QuestionSetModel:
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        sets = QuestionSets(tx)
        return QuestionSetModel.of(
            await sets.get(principal.tenant_id, ChatbotId(chatbot_id), QuestionSetId(question_set_id))
        )


@router.delete(SET, status_code=204)
async def delete_question_set(
    chatbot_id: UUID, question_set_id: UUID, services: Services, principal: Runner, origin: CurrentOrigin
) -> Response:
    """With its questions and what was answered to them; the evaluations' sums stay."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        # The gate is changed under the same lock.
        await Chatbots(tx).lock(tenant_id, bot)
        sets = QuestionSets(tx)
        found = await sets.locked(tenant_id, bot, QuestionSetId(question_set_id))
        await sets.delete(tenant_id, found.id)
        details: Details = {"chatbot_id": str(bot), "questions": found.questions}
        await _record(tx, tenant_id, origin, Action.QUESTION_SET_DELETE, found.id, details)
    return Response(status_code=204)


@router.get(SET + "/questions")
async def list_questions(
    chatbot_id: UUID,
    question_set_id: UUID,
    services: Services,
    principal: Reader,
    limit: Limit = 50,
    cursor: UUID | None = None,
) -> QuestionPage:
    """In the order in which they were added."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        sets = QuestionSets(tx)
        question_set = await sets.get(tenant_id, bot, QuestionSetId(question_set_id))
        found = await sets.questions(tenant_id, question_set.id, limit + 1, cursor)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return QuestionPage(items=[QuestionModel.of(one) for one in found[:limit]], next_cursor=more)


@router.post(SET + "/questions")
async def add_questions(
    chatbot_id: UUID,
    question_set_id: UUID,
    body: QuestionsBody,
    services: Services,
    principal: Runner,
    origin: CurrentOrigin,
) -> AddedModel:
    """Add some; one that the set has already stays as it is."""
    questions = [NewQuestion(spec) for spec in body.questions]
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        return await _add(tx, principal.tenant_id, chatbot_id, question_set_id, questions, origin)


@router.delete(SET + "/questions/{question_id}", status_code=204)
async def delete_question(
    chatbot_id: UUID,
    question_set_id: UUID,
    question_id: UUID,
    services: Services,
    principal: Runner,
    origin: CurrentOrigin,
) -> Response:
    """With what was answered to it."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        sets = QuestionSets(tx)
        question_set = await sets.locked(tenant_id, bot, QuestionSetId(question_set_id))
        await sets.delete_question(question_set, QuestionId(question_id))
        details: Details = {"chatbot_id": str(bot), "removed": 1}
        await _record(tx, tenant_id, origin, Action.QUESTION_SET_UPDATE, question_set.id, details)
    return Response(status_code=204)


@router.post(SET + "/upload", openapi_extra=MULTIPART)
async def upload_questions(
    chatbot_id: UUID,
    question_set_id: UUID,
    request: Request,
    services: Services,
    principal: Runner,
    origin: CurrentOrigin,
) -> AddedModel:
    """Add the questions of JSON Lines or CSV files, all or none; `docs/evaluation.md` has the fields."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        await QuestionSets(tx).get(tenant_id, bot, QuestionSetId(question_set_id))
    questions: list[NewQuestion] = []
    async with Upload(request, MAX_FILE_BYTES) as files:
        for file in files:
            try:
                found = await asyncio.to_thread(read_questions, await file.read(), file.name)
            except AppError as error:
                raise type(error)(f"{file.name}: {error.message}" if len(files) > 1 else error.message) from None
            questions += [NewQuestion(spec) for spec in found]
            if len(questions) > MAX_QUESTIONS:
                raise Unprocessable(f"A question set holds at most {MAX_QUESTIONS:,} questions.")
    async with tenant_tx(services.db, tenant_id) as tx:
        return await _add(tx, tenant_id, chatbot_id, question_set_id, questions, origin)


@router.post(SET + "/draw")
async def draw_questions(
    chatbot_id: UUID,
    question_set_id: UUID,
    body: DrawBody,
    services: Services,
    principal: Runner,
    origin: CurrentOrigin,
) -> AddedModel:
    """Add what people asked the bot, without whose questions they were; needs `conversations.read` too."""
    check(principal.role, Permission.CONVERSATIONS_READ, principal.scopes)
    tenant_id = principal.tenant_id
    async with tenant_tx(services.db, tenant_id) as tx:
        bot = await Chatbots(tx).get(tenant_id, ChatbotId(chatbot_id))
        questions = await draw(tx, tenant_id, bot.id, body.rating, body.limit)
        return await _add(tx, tenant_id, chatbot_id, question_set_id, questions, origin)


async def _add(
    tx: Transaction,
    tenant_id: TenantId,
    chatbot_id: UUID,
    question_set_id: UUID,
    questions: Sequence[NewQuestion],
    origin: Origin,
) -> AddedModel:
    sets, bot = QuestionSets(tx), ChatbotId(chatbot_id)
    question_set = await sets.locked(tenant_id, bot, QuestionSetId(question_set_id))
    added = await sets.add(question_set, questions)
    now = await sets.get(tenant_id, bot, question_set.id)
    details: Details = {"chatbot_id": str(bot), "added": added}
    await _record(tx, tenant_id, origin, Action.QUESTION_SET_UPDATE, question_set.id, details)
    return AddedModel(added=added, known=len(questions) - added, question_set=QuestionSetModel.of(now))


async def _record(
    tx: Transaction, tenant_id: TenantId, origin: Origin, action: Action, set_id: QuestionSetId, details: Details
) -> None:
    await Audit(tx).append(tenant_id, origin, action, Target("question_set", str(set_id)), details)
