"""Plans, generation requests and deltas as plain data, as they travel between processes."""

from typing import Any
from uuid import UUID

from domain.answer_form import decode_form, encode_form
from domain.errors import InvalidInput
from domain.generation import (
    Delta,
    EngineTarget,
    FinishReason,
    GenerationRequest,
    Plan,
    PlanRequest,
    PromptMessage,
    Usage,
)
from domain.ids import TenantId

_ROLES = frozenset({"system", "user", "assistant"})


def encode_request(request: GenerationRequest) -> dict[str, Any]:
    return {
        "id": request.id,
        "model": request.model,
        "messages": [[message.role, message.content] for message in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "stop": list(request.stop),
        "form": encode_form(request.form),
    }


def decode_request(payload: Any) -> GenerationRequest:
    """Raises InvalidInput when the payload has another shape."""
    try:
        messages = tuple(PromptMessage(str(role), str(content)) for role, content in payload["messages"])
        request = GenerationRequest(
            id=str(payload["id"]),
            model=str(payload["model"]),
            messages=messages,
            max_tokens=int(payload["max_tokens"]),
            temperature=float(payload.get("temperature", 0.0)),
            stop=tuple(str(stop) for stop in payload.get("stop", ())),
            form=decode_form(payload.get("form")),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidInput("The generation request has the wrong shape.") from None
    if not messages or any(message.role not in _ROLES for message in messages):
        raise InvalidInput("A generation needs messages with the roles system, user or assistant.")
    if request.max_tokens < 1 or not 0.0 <= request.temperature <= 2.0:
        raise InvalidInput("A generation needs max_tokens of at least 1 and a temperature from 0 to 2.")
    return request


def encode_delta(delta: Delta) -> dict[str, Any]:
    """`t` text, `n` tokens, and on the last one `f` finish reason and `u` [prompt, completion, cached]; `q` while it
    waits for a place."""
    item: dict[str, Any] = {"t": delta.text, "n": delta.tokens}
    if delta.queued is not None:
        item["q"] = delta.queued
    if delta.finish is not None:
        usage = delta.usage or Usage()
        item["f"] = delta.finish.value
        item["u"] = [usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens]
    return item


def decode_delta(item: dict[str, Any]) -> Delta:
    if "f" not in item:
        return Delta(item["t"], item["n"], queued=item.get("q"))
    return Delta(item["t"], item["n"], FinishReason(item["f"]), Usage(*item["u"]))


def encode_plan_request(request: PlanRequest) -> list[Any]:
    return [
        str(request.tenant_id),
        request.model,
        request.prompt_tokens,
        request.max_tokens,
        request.session_id,
        request.plan,
        request.difficulty,
        list(request.signals),
    ]


def decode_plan_request(payload: Any) -> PlanRequest:
    """Raises InvalidInput when the payload has another shape."""
    try:
        tenant_id, model, prompt_tokens, max_tokens, session_id, plan, difficulty, signals = payload
        return PlanRequest(
            TenantId(UUID(tenant_id)),
            str(model),
            int(prompt_tokens),
            int(max_tokens),
            str(session_id),
            str(plan),
            float(difficulty),
            tuple(str(signal) for signal in signals),
        )
    except (TypeError, ValueError, AttributeError):
        raise InvalidInput("The request for a plan has the wrong shape.") from None


def encode_plan(plan: Plan) -> dict[str, Any]:
    return {
        "targets": [
            [one.engine, one.model, one.address, one.first_token_seconds, one.queue_seconds] for one in plan.targets
        ],
        "reason": plan.reason,
        "detail": plan.detail,
        "hedge": plan.hedge_after_seconds,
    }


def decode_plan(item: dict[str, Any]) -> Plan:
    targets = tuple(EngineTarget(*target) for target in item["targets"])
    return Plan(targets, item["reason"], item["detail"], item["hedge"])
