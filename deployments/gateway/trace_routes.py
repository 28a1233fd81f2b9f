"""How a message came about: the trace of its turn, for who may read traces."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from deployments.gateway.principal import require
from deployments.gateway.services import Services
from domain.ids import ChatbotId, MessageId, SessionId
from domain.permissions import Permission
from domain.tenancy import Principal
from storage.postgres.database import tenant_tx
from storage.postgres.sessions import Sessions
from storage.postgres.traces import StoredTrace, Traces

router = APIRouter(tags=["chat"], prefix="/chatbots/{chatbot_id}/sessions/{session_id}")


class StageModel(BaseModel):
    name: str
    start_ms: float = Field(description="Since the turn began.")
    ms: float


class PromptMessageModel(BaseModel):
    role: str
    content: str


class CallModel(BaseModel):
    kind: str
    engine: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    embedded_tokens: int
    cost_micro: int


class TraceModel(BaseModel):
    turn_id: UUID
    state: str
    model: str | None
    plan_reason: str | None
    error_code: str | None
    created_at: datetime
    ended_at: datetime | None
    cost_micro: int = Field(description="Of all calls of models together.")
    stages: list[StageModel]
    notes: dict[str, Any] = Field(description="What was decided, as the plan of engines and what the cache said.")
    calls: list[CallModel]
    retrieval: dict[str, Any] | None = Field(description="The candidates with their scores; null when none was made.")
    query: str | None = Field(description="What was searched for; null when texts are not kept.")
    messages: list[PromptMessageModel] | None = Field(description="The prompt; null when texts are not kept.")
    cut: bool = Field(description="Whether it was too long to be kept whole.")

    @classmethod
    def of(cls, trace: StoredTrace) -> "TraceModel":
        found = trace.found
        texts = found.get("texts")
        return cls(
            turn_id=trace.turn_id,
            state=trace.state,
            model=trace.model,
            plan_reason=trace.plan_reason,
            error_code=trace.error_code,
            created_at=trace.created_at,
            ended_at=trace.ended_at,
            cost_micro=trace.cost_micro,
            stages=[StageModel(name=name, start_ms=start, ms=ms) for name, start, ms in found["stages"]],
            notes=found["notes"],
            calls=[_call(call) for call in found["calls"]],
            retrieval=found["retrieval"],
            query=texts["query"] if texts else None,
            messages=[PromptMessageModel(role=role, content=content) for role, content in texts["messages"]]
            if texts
            else None,
            cut=bool(found.get("cut")),
        )


@router.get("/messages/{message_id}/trace")
async def get_trace(
    chatbot_id: UUID,
    session_id: UUID,
    message_id: UUID,
    services: Services,
    principal: Annotated[Principal, require(Permission.TRACES_READ)],
) -> TraceModel:
    """Of the turn that a question began or an answer ended; as long as the bot keeps traces."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        session = await Sessions(tx).get(principal.tenant_id, SessionId(session_id), ChatbotId(chatbot_id))
        trace = await Traces(tx, principal.tenant_id).of_message(session.id, MessageId(message_id))
    return TraceModel.of(trace)


def _call(call: dict[str, Any]) -> CallModel:
    return CallModel(
        kind=call["kind"],
        engine=call["engine"],
        model=call["model"],
        prompt_tokens=call.get("prompt", 0),
        completion_tokens=call.get("completion", 0),
        cached_tokens=call.get("cached", 0),
        embedded_tokens=call.get("embedded", 0),
        cost_micro=call.get("cost", 0),
    )
