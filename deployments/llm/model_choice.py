"""Which models may answer a question, in which order: one by name, or those of a route by how hard the question is."""

from dataclasses import dataclass

from configs.tables import ModelTable, RouteSpec
from domain.generation import PlanRequest, Usage

USUAL_ANSWER_TOKENS = 200
"""What an answer is taken to have when models are compared by price."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    models: tuple[str, ...]
    """Best first, at least one."""
    reason: str
    """In a few words; empty when the bot named the model itself."""
    hedge_after_seconds: float | None


def choose_models(table: ModelTable, name: str, request: PlanRequest) -> ModelChoice:
    """`name` is a model or a route of the table. Raises InvalidInput for another."""
    route = table.routes.get(name)
    if route is None:
        return ModelChoice((name,), "", _seconds(table.model(name).hedge_after_ms))
    hard = request.difficulty >= route.threshold
    allowed = route.hard_plans is None or request.plan in route.hard_plans
    if hard and allowed:
        why = f"hard: {', '.join(request.signals[:2])}" if request.signals else "hard"
        first, rest = route.hard, (*route.others, route.simple)
    else:
        why = "hard, but not in the plan" if hard else "simple"
        first = route.simple
        rest = tuple(sorted((route.hard, *route.others), key=lambda key: _price(table, key, request.prompt_tokens)))
        if not allowed:
            rest = tuple(key for key in rest if key != route.hard)
    models = tuple(dict.fromkeys((first, *rest)))
    return ModelChoice(models, f"{why} → {first}", _hedge(table, route, first))


def _hedge(table: ModelTable, route: RouteSpec, first: str) -> float | None:
    return _seconds(route.hedge_after_ms or table.model(first).hedge_after_ms)


def _price(table: ModelTable, key: str, prompt_tokens: int) -> int:
    return table.model(key).price.cost_micro(Usage(prompt_tokens, USUAL_ANSWER_TOKENS))


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
