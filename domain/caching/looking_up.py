"""A turn looks for a kept answer: traced, and metered when there is one."""

from domain.caching.scope import CacheHit, CacheScope
from domain.generation import Usage
from domain.metering import CallKind, Meter, ModelCall
from domain.ports import AnswerCache
from domain.trace import TurnTrace


async def look_up(
    scope: CacheScope | None, question: str, answers: AnswerCache, meter: Meter, trace: TurnTrace
) -> CacheHit | None:
    """The answer that was kept for the question; None also without a scope, where nothing is looked for."""
    if scope is None:
        return None
    with trace.stage("cache"):
        hit = await answers.find(scope, question, meter)
    trace.note("cache", hit.reason if hit else "miss")
    if hit is not None:
        meter.record(ModelCall(CallKind.CACHE, "", hit.kept.model, Usage()))
    return hit
