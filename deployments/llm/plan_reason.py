"""Why a plan is as it is: in a few words for the message, and in figures for its trace."""

from collections.abc import Sequence
from typing import Any

from deployments.llm.model_choice import ModelChoice
from deployments.llm.policy import OFTEN_FAILING, is_home
from domain.routing import BreakerState, Candidate


def reason_of(
    choice: ModelChoice, wanted: str, first: Candidate, candidates: Sequence[Candidate], session_id: str
) -> str:
    """`wanted` is the first model that can hold the prompt. As `simple → m1`, `fallback: m1 open → m2`, `sticky`."""
    if first.breaker is BreakerState.HALF_OPEN:
        return _joined(choice.reason, "probe")
    if first.full:
        return _joined(choice.reason, "all full")
    if first.model != choice.models[0]:
        why = "too small" if wanted != choice.models[0] else _fault(candidates, tier=0)
        return _joined(choice.reason, f"fallback: {choice.models[0]} {why} → {first.model}")
    better = [one for one in candidates if one.tier == first.tier and one.preference < first.preference]
    if first.preference > 0:
        return _joined(choice.reason, f"fallback: {_fault(better)}" if better else "fallback")
    if is_home(session_id, first, candidates):
        return _joined(choice.reason, "sticky")
    return choice.reason or "preferred"


def described(one: Candidate) -> dict[str, Any]:
    """A candidate as plain data."""
    return {
        "engine": one.engine,
        "model": one.model,
        "state": _state(one),
        "load": round(one.load, 3),
        "failing": round(one.failing, 3),
        "ttft_ms": None if one.ttft is None else round(1000 * one.ttft),
    }


def _fault(candidates: Sequence[Candidate], tier: int | None = None) -> str:
    """What keeps the better ones from being asked."""
    states = [_state(one) for one in candidates if tier is None or one.tier == tier]
    return next((state for state in states if state != "well"), "away" if not states else "busy")


def _state(one: Candidate) -> str:
    if one.breaker is not BreakerState.CLOSED:
        return one.breaker.value.replace("_", " ")
    if one.limited_seconds > 0:
        return "limited"
    if one.full:
        return "full"
    if one.failing > OFTEN_FAILING:
        return "failing"
    return "busy" if one.load >= 1.0 else "well"


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
