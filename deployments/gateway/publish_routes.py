"""Drafts of a bot's configuration, the gate that they have to pass, publishing them, and going back."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from deployments.gateway.chatbot_routes import merged_config
from deployments.gateway.evaluation_models import EvaluationModel
from deployments.gateway.evaluation_routes import request_evaluation
from deployments.gateway.models import Body, ChatbotModel
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import require
from deployments.gateway.services import Services
from domain.audit import Action, Details, Origin, Target
from domain.chatbot import Chatbot, ChatbotConfig
from domain.errors import Conflict, NotFound
from domain.evaluation_run import Evaluation, RunState
from domain.ids import ChatbotId, QuestionSetId, TenantId
from domain.permissions import Permission, check
from domain.publishing import Draft, GateRefused, GateSpec, changed_fields, changes_of, judge, same_answers
from domain.question_set import QuestionSet
from domain.tenancy import Principal
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Transaction, tenant_tx
from storage.postgres.drafts import Drafts
from storage.postgres.evaluations import Evaluations
from storage.postgres.question_sets import QuestionSets

router = APIRouter(tags=["chatbots"])

Reader = Annotated[Principal, require(Permission.CHATBOTS_READ)]
Writer = Annotated[Principal, require(Permission.CHATBOTS_WRITE)]
Keeper = Annotated[Principal, require(Permission.CHATBOTS_GATE)]
DRAFT = "/chatbots/{chatbot_id}/draft"
GATE = "/chatbots/{chatbot_id}/publish-gate"
LOOKED_AT = 50
"""Of the last evaluations of the gate's question set, for one that says what is needed."""


class DraftModel(BaseModel):
    config: ChatbotConfig
    base_version: int = Field(description="The live version that it was made from.")
    fields: list[str] = Field(description="Those that differ from the live version.")
    updated_at: datetime

    @classmethod
    def of(cls, draft: Draft, live: Chatbot) -> Self:
        fields = changed_fields(live.config, draft.config)
        return cls(config=draft.config, base_version=draft.base_version, fields=fields, updated_at=draft.updated_at)


class PublishBody(Body):
    force: bool = Field(False, description="Whatever the gate says; needs `chatbots.gate`.")


class PublicationModel(BaseModel):
    state: Literal["published", "evaluating"]
    chatbot: ChatbotModel = Field(description="As it is live now.")
    draft_evaluation: EvaluationModel | None = Field(description="What the gate looked at, or waits for.")
    live_evaluation: EvaluationModel | None


@router.put(DRAFT)
async def put_draft(
    chatbot_id: UUID, body: dict[str, Any], services: Services, principal: Writer, origin: CurrentOrigin
) -> DraftModel:
    """Change the fields that are given, in the draft: of the live version where there is no draft yet.

    A draft that was made from an earlier version takes over what has changed since.
    """
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        live, drafts = await _locked(tx, tenant_id, bot), Drafts(tx, tenant_id, bot)
        present = live.config
        if (draft := await drafts.find()) is not None:
            base = (await Chatbots(tx).version(tenant_id, bot, draft.base_version)).config
            own = changes_of(base.model_dump(mode="json"), draft.config.model_dump(mode="json"))
            present = merged_config(services, live.config, own)
        config = merged_config(services, present, body)
        saved = await drafts.put(live.version, config)
        await _record(tx, live, origin, Action.DRAFT_UPDATE, {"version": live.version, "fields": sorted(body)})
    return DraftModel.of(saved, live)


@router.get(DRAFT)
async def get_draft(chatbot_id: UUID, services: Services, principal: Reader) -> DraftModel:
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        live = await Chatbots(tx).get(tenant_id, bot)
        return DraftModel.of(await Drafts(tx, tenant_id, bot).get(), live)


@router.delete(DRAFT, status_code=204)
async def delete_draft(chatbot_id: UUID, services: Services, principal: Writer, origin: CurrentOrigin) -> Response:
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        live = await _locked(tx, tenant_id, bot)
        if not await Drafts(tx, tenant_id, bot).delete():
            raise NotFound("The chatbot has no draft.")
        await _record(tx, live, origin, Action.DRAFT_DELETE, {})
    return Response(status_code=204)


@router.post("/chatbots/{chatbot_id}/publish", responses={202: {"model": PublicationModel}})
async def publish_draft(
    chatbot_id: UUID,
    body: PublishBody,
    services: Services,
    principal: Writer,
    origin: CurrentOrigin,
    response: Response,
) -> PublicationModel:
    """Make the draft the live version. With a gate, draft and live version must have been asked the gate's questions:
    where that is still to be done it begins now, and the answer is 202; publish again when both evaluations have ended.
    A draft that does not pass is refused with what fell."""
    if body.force:
        check(principal.role, Permission.CHATBOTS_GATE, principal.scopes)
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        live, drafts = await _locked(tx, tenant_id, bot), Drafts(tx, tenant_id, bot)
        draft = await drafts.get()
        if draft.base_version != live.version:
            raise Conflict(
                f"Version {live.version} went live since the draft was made from {draft.base_version}; save it again."
            )
        # It may name a model that is there no more.
        config = merged_config(services, ChatbotConfig(), draft.config.model_dump(mode="json"))
        gate, asked = await drafts.gate(), None
        passes = gate is None or same_answers(live.config, config)
        if gate is not None and not passes and not body.force:
            asked = await _evaluations(tx, live, config, gate, origin)
            if not all(one.state is RunState.COMPLETED for one in asked):
                response.status_code = 202
                return _publication("evaluating", live, asked)
            _require(gate, *asked)
        now = await Chatbots(tx).add_version(live, config)
        await drafts.delete()
        details: Details = {
            "version": now.version,
            "fields": changed_fields(live.config, config),
            "forced": not passes and body.force,
            "evaluation_id": str(asked[0].id) if asked else None,
        }
        await _record(tx, live, origin, Action.CHATBOT_PUBLISH, details)
    return _publication("published", now, asked)


@router.post("/chatbots/{chatbot_id}/versions/{version}/restore")
async def restore_version(
    chatbot_id: UUID, version: int, services: Services, principal: Writer, origin: CurrentOrigin
) -> ChatbotModel:
    """Make what an older version says the live version again, as a new one. No gate stands in the way back."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    if not 0 < version < 2**31:
        raise NotFound("The chatbot has no such version.")
    async with tenant_tx(services.db, tenant_id) as tx:
        live = await _locked(tx, tenant_id, bot)
        older = await Chatbots(tx).version(tenant_id, bot, version)
        config = merged_config(services, ChatbotConfig(), older.config.model_dump(mode="json"))
        now = await Chatbots(tx).add_version(live, config)
        details: Details = {
            "version": now.version,
            "restored": version,
            "fields": changed_fields(live.config, config),
        }
        await _record(tx, live, origin, Action.CHATBOT_RESTORE, details)
    return ChatbotModel.of(now)


@router.put(GATE)
async def put_gate(
    chatbot_id: UUID, body: GateSpec, services: Services, principal: Keeper, origin: CurrentOrigin
) -> GateSpec:
    """Set what a draft has to reach; from then on, what changes answers goes live by publishing only."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        live = await _locked(tx, tenant_id, bot)
        await QuestionSets(tx).get(tenant_id, bot, QuestionSetId(body.question_set_id))
        await Drafts(tx, tenant_id, bot).put_gate(body)
        details: Details = {
            "question_set_id": str(body.question_set_id),
            "mode": body.mode.value,
            "metrics": [rule.metric.value for rule in body.rules],
        }
        await _record(tx, live, origin, Action.PUBLISH_GATE_UPDATE, details)
    return body


@router.get(GATE)
async def get_gate(chatbot_id: UUID, services: Services, principal: Reader) -> GateSpec:
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        await Chatbots(tx).get(tenant_id, bot)
        gate = await Drafts(tx, tenant_id, bot).gate()
    if gate is None:
        raise NotFound("The chatbot has no publish gate.")
    return gate


@router.delete(GATE, status_code=204)
async def delete_gate(chatbot_id: UUID, services: Services, principal: Keeper, origin: CurrentOrigin) -> Response:
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        live = await _locked(tx, tenant_id, bot)
        if not await Drafts(tx, tenant_id, bot).delete_gate():
            raise NotFound("The chatbot has no publish gate.")
        await _record(tx, live, origin, Action.PUBLISH_GATE_DELETE, {})
    return Response(status_code=204)


async def _evaluations(
    tx: Transaction, live: Chatbot, config: ChatbotConfig, gate: GateSpec, origin: Origin
) -> tuple[Evaluation, Evaluation]:
    """Of the draft and of the live version, over the gate's questions and the documents as they are now; what is
    missing is requested."""
    evaluations = Evaluations(tx)
    question_set = await QuestionSets(tx).get(live.tenant_id, live.id, QuestionSetId(gate.question_set_id))
    knowledge = await evaluations.knowledge(live.tenant_id, live.id)
    recent = await evaluations.list_page(live.tenant_id, live.id, LOOKED_AT, question_set_id=question_set.id)
    usable = [one for one in recent if _says_how_it_is(one, gate, question_set, knowledge)]
    found = []
    for wanted, version in ((config, None), (live.config, live.version)):
        evaluation = next((one for one in usable if same_answers(one.config, wanted)), None)
        if evaluation is None:
            evaluation = await request_evaluation(tx, question_set, gate.mode, wanted, version, origin)
        found.append(evaluation)
    return found[0], found[1]


def _says_how_it_is(one: Evaluation, gate: GateSpec, question_set: QuestionSet, knowledge: str) -> bool:
    """Whether it asked, or will ask, the same questions of the same documents."""
    asked = (one.mode, one.revision, one.questions, one.knowledge)
    return asked == (gate.mode, question_set.revision, question_set.questions, knowledge) and (
        one.state is RunState.COMPLETED or not one.state.ended
    )


def _require(gate: GateSpec, draft: Evaluation, live: Evaluation) -> None:
    """Raises GateRefused."""
    assert draft.summary is not None
    assert live.summary is not None
    if fallen := judge(gate.rules, draft.summary, live.summary):
        raise GateRefused(f"The draft does not pass the publish gate. {' '.join(fallen)}")


def _publication(
    state: Literal["published", "evaluating"], chatbot: Chatbot, asked: tuple[Evaluation, Evaluation] | None
) -> PublicationModel:
    draft, live = asked or (None, None)
    return PublicationModel(
        state=state,
        chatbot=ChatbotModel.of(chatbot),
        draft_evaluation=EvaluationModel.of(draft) if draft else None,
        live_evaluation=EvaluationModel.of(live) if live else None,
    )


async def _locked(tx: Transaction, tenant_id: TenantId, bot: ChatbotId) -> Chatbot:
    """Raises NotFound."""
    await Chatbots(tx).lock(tenant_id, bot)
    return await Chatbots(tx).get(tenant_id, bot)


async def _record(tx: Transaction, bot: Chatbot, origin: Origin, action: Action, details: Details) -> None:
    await Audit(tx).append(bot.tenant_id, origin, action, Target("chatbot", str(bot.id)), details)
