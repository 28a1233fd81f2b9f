"""Evaluations of a chatbot: asked for, watched, cancelled, read question by question, and compared."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response

from billing.entitlements import plan_of
from deployments.gateway.erasure_models import requester_of
from deployments.gateway.evaluation_models import (
    ChangedQuestionModel,
    ComparisonModel,
    EvaluationBody,
    EvaluationModel,
    EvaluationPage,
    ResultModel,
    ResultPage,
)
from deployments.gateway.models import Limit
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import require
from deployments.gateway.services import Services
from domain.audit import Action, Details, Origin, Target
from domain.chatbot import ChatbotConfig
from domain.comparison import Change, compare
from domain.errors import Conflict
from domain.evaluation_run import Evaluation, Mode, RunState
from domain.ids import ChatbotId, EvaluationId, QuestionId, QuestionSetId, TenantId
from domain.permissions import Permission
from domain.question_set import QuestionSet
from domain.tenancy import Principal
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Transaction, tenant_tx
from storage.postgres.drafts import Drafts
from storage.postgres.evaluations import Evaluations
from storage.postgres.ledger import Ledger
from storage.postgres.question_sets import QuestionSets

router = APIRouter(tags=["evaluation"])

Reader = Annotated[Principal, require(Permission.EVALUATIONS_READ)]
Runner = Annotated[Principal, require(Permission.EVALUATIONS_RUN)]
EVALUATIONS = "/chatbots/{chatbot_id}/evaluations"
EVALUATION = EVALUATIONS + "/{evaluation_id}"
SHOWN_CHANGES = 500
_ORDER = (Change.WORSE, Change.MIXED, Change.BETTER)


@router.post(EVALUATIONS, status_code=202)
async def start_evaluation(
    chatbot_id: UUID, body: EvaluationBody, services: Services, principal: Runner, origin: CurrentOrigin
) -> EvaluationModel:
    """Ask a question set of a version, or of the draft: `retrieval` looks at what is found and asks no model; `answers`
    makes whole answers, which count like any others."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        chatbots = Chatbots(tx)
        # Two requests at once count one after the other.
        await chatbots.lock(tenant_id, bot)
        version: int | None
        if body.draft:
            config, version = (await Drafts(tx, tenant_id, bot).get()).config, None
        elif body.version is not None:
            found = await chatbots.version(tenant_id, bot, body.version)
            config, version = found.config, found.version
        else:
            live = await chatbots.get(tenant_id, bot)
            config, version = live.config, live.version
        question_set = await QuestionSets(tx).get(tenant_id, bot, QuestionSetId(body.question_set_id))
        evaluation = await request_evaluation(tx, question_set, body.mode, config, version, origin)
    return EvaluationModel.of(evaluation)


async def request_evaluation(
    tx: Transaction, question_set: QuestionSet, mode: Mode, config: ChatbotConfig, version: int | None, origin: Origin
) -> Evaluation:
    """Queue one and record it. Raises Unprocessable, RateLimited, and QuotaExceeded without tokens left."""
    tenant_id = question_set.tenant_id
    if mode is Mode.ANSWERS:
        plan = await plan_of(tx, tenant_id)
        plan.allow_tokens(await Ledger(tx).tokens_this_month(tenant_id), 1)
    evaluation = await Evaluations(tx).request(question_set, mode, config, version, requester_of(origin))
    details: Details = {
        "chatbot_id": str(question_set.chatbot_id),
        "question_set_id": str(question_set.id),
        "mode": mode.value,
        "version": version,
    }
    await _record(tx, evaluation, origin, Action.EVALUATION_START, details)
    return evaluation


@router.get(EVALUATIONS)
async def list_evaluations(
    chatbot_id: UUID,
    services: Services,
    principal: Reader,
    limit: Limit = 50,
    cursor: UUID | None = None,
    question_set_id: UUID | None = None,
) -> EvaluationPage:
    """Newest first; of one question set, or of all."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    only = QuestionSetId(question_set_id) if question_set_id else None
    async with tenant_tx(services.db, tenant_id) as tx:
        await Chatbots(tx).get(tenant_id, bot)
        found = await Evaluations(tx).list_page(tenant_id, bot, limit + 1, cursor, only)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return EvaluationPage(items=[EvaluationModel.of(one) for one in found[:limit]], next_cursor=more)


@router.get(EVALUATIONS + "/compare")
async def compare_evaluations(
    chatbot_id: UUID, services: Services, principal: Reader, a: UUID, b: UUID
) -> ComparisonModel:
    """What `b` gained or lost against `a`, over the questions that both asked."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        evaluations = Evaluations(tx)
        first = await evaluations.get(tenant_id, EvaluationId(a), bot)
        second = await evaluations.get(tenant_id, EvaluationId(b), bot)
        if not first.state is second.state is RunState.COMPLETED:
            raise Conflict("Only evaluations that are complete can be compared.")
        if first.mode is not second.mode:
            raise Conflict("One evaluation made answers, and the other only looked at what is found.")
        found = compare(await evaluations.results(tenant_id, first.id), await evaluations.results(tenant_id, second.id))
        shown = sorted(found.changed, key=lambda one: _ORDER.index(one.change))[:SHOWN_CHANGES]
        texts = await _texts(tx, tenant_id, [one.question_id for one in shown])
    changed = [ChangedQuestionModel.of(one, texts.get(one.question_id, "")) for one in shown]
    return ComparisonModel.of(first, second, found, changed)


@router.get(EVALUATION)
async def get_evaluation(
    chatbot_id: UUID, evaluation_id: UUID, services: Services, principal: Reader
) -> EvaluationModel:
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        return EvaluationModel.of(await _get(tx, principal.tenant_id, chatbot_id, evaluation_id))


@router.get(EVALUATION + "/results")
async def list_results(
    chatbot_id: UUID,
    evaluation_id: UUID,
    services: Services,
    principal: Reader,
    limit: Limit = 50,
    cursor: UUID | None = None,
) -> ResultPage:
    """In the order of the questions, also while the evaluation runs."""
    tenant_id = principal.tenant_id
    async with tenant_tx(services.db, tenant_id) as tx:
        evaluation = await _get(tx, tenant_id, chatbot_id, evaluation_id)
        found = await Evaluations(tx).results(tenant_id, evaluation.id, limit + 1, cursor)
        texts = await _texts(tx, tenant_id, [one.question_id for one in found])
    more = str(found[limit - 1].question_id) if len(found) > limit else None
    items = [ResultModel.of(one, texts.get(one.question_id, "")) for one in found[:limit]]
    return ResultPage(items=items, next_cursor=more)


@router.post(EVALUATION + "/cancel")
async def cancel_evaluation(
    chatbot_id: UUID, evaluation_id: UUID, services: Services, principal: Runner, origin: CurrentOrigin
) -> EvaluationModel:
    """It ends within seconds; the results so far stay."""
    tenant_id = principal.tenant_id
    async with tenant_tx(services.db, tenant_id) as tx:
        evaluations = Evaluations(tx)
        evaluation = await _get(tx, tenant_id, chatbot_id, evaluation_id)
        await evaluations.cancel(evaluation)
        await _record(tx, evaluation, origin, Action.EVALUATION_CANCEL, {"chatbot_id": str(chatbot_id)})
        return EvaluationModel.of(await evaluations.get(tenant_id, evaluation.id))


@router.delete(EVALUATION, status_code=204)
async def delete_evaluation(
    chatbot_id: UUID, evaluation_id: UUID, services: Services, principal: Runner, origin: CurrentOrigin
) -> Response:
    """With its results; one that runs ends."""
    tenant_id = principal.tenant_id
    async with tenant_tx(services.db, tenant_id) as tx:
        evaluation = await _get(tx, tenant_id, chatbot_id, evaluation_id)
        await Evaluations(tx).delete(evaluation)
        await _record(tx, evaluation, origin, Action.EVALUATION_DELETE, {"chatbot_id": str(chatbot_id)})
    return Response(status_code=204)


async def _get(tx: Transaction, tenant_id: TenantId, chatbot_id: UUID, evaluation_id: UUID) -> Evaluation:
    return await Evaluations(tx).get(tenant_id, EvaluationId(evaluation_id), ChatbotId(chatbot_id))


async def _texts(tx: Transaction, tenant_id: TenantId, ids: list[QuestionId]) -> dict[QuestionId, str]:
    found = await QuestionSets(tx).by_id(tenant_id, ids)
    return {question_id: stored.spec.question for question_id, stored in found.items()}


async def _record(tx: Transaction, evaluation: Evaluation, origin: Origin, action: Action, details: Details) -> None:
    await Audit(tx).append(evaluation.tenant_id, origin, action, Target("evaluation", str(evaluation.id)), details)
