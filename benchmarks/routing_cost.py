"""What a day of 1,000 mixed questions costs through a route, against always asking the strong model.

The questions are made of the part `held_out` of tests/fixtures/difficulty.yaml, which the router's weights were not
fitted to, three easy ones to a hard one; those of `unseen` were written when the signs of a hard question were done.
The models are scripts with the prices of configs/models.yaml: the cheap one answers every easy question and fails on
every hard one, the strong one answers all. An answer counts when it holds what was asked for.
`python -m benchmarks.routing_cost` prints one dict.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from configs.tables import ModelTable, load_models
from deployments.llm.model_choice import choose_models
from domain.difficulty import difficulty_of
from domain.generation import PlanRequest, Usage
from domain.ids import TenantId, new_uuid

QUESTIONS = 1_000
HARD_SHARE = 0.25
SEED = 6
CHEAP, STRONG = "gpt-4o-mini", "claude-haiku-4-5"
PASSAGE_TOKENS = 600
"""Of the passages, the system prompt and the history in each prompt."""
OPENINGS = ("", "", "", "Hello! ", "Hi, ", "One more thing: ", "Hallo, ", "Please help me. ", "Thanks. ", "Sorry, but ")
CLOSINGS = ("", "", "", " Thank you!", " Thanks in advance.", " Danke!", " It is urgent.")


@dataclass(frozen=True)
class Asked:
    text: str
    hard: bool
    answer_tokens: int


def day(part: str, seed: int = SEED) -> Iterator[Asked]:
    """The same questions for a seed; `part` is one of the file."""
    file = Path(__file__).parents[1] / "tests/fixtures/difficulty.yaml"
    kinds = yaml.safe_load(file.read_text("utf-8"))[part]
    chance = random.Random(seed)
    for _ in range(QUESTIONS):
        hard = chance.random() < HARD_SHARE
        text = chance.choice(kinds["hard" if hard else "simple"])
        text = f"{chance.choice(OPENINGS)}{text}{chance.choice(CLOSINGS)}"
        yield Asked(text, hard, chance.randint(120, 300) if hard else chance.randint(20, 80))


def table_of() -> ModelTable:
    """The shipped models with a route between the two."""
    fields = load_models().model_dump()
    fields["routes"] = {"auto": {"simple": CHEAP, "hard": STRONG}}
    return ModelTable.model_validate(fields)


def measure() -> dict[str, Any]:
    """Costs in millionths of the currency unit; all ways answer the same questions in the same order."""
    return {"questions": QUESTIONS, "hard_share": HARD_SHARE} | _replayed("held_out") | {"unseen": _replayed("unseen")}


def _replayed(part: str) -> dict[str, Any]:
    table, cost, contained = table_of(), Counter[str](), Counter[str]()
    chosen: Counter[str] = Counter()
    tenant = TenantId(new_uuid())
    for asked in day(part):
        difficulty = difficulty_of(asked.text)
        prompt = PASSAGE_TOKENS + len(asked.text) // 4
        request = PlanRequest(tenant, "auto", prompt, difficulty=difficulty.score, signals=difficulty.signals)
        routed = choose_models(table, "auto", request).models[0]
        for way, model in (("routed", routed), ("strong", STRONG), ("cheap", CHEAP)):
            cost[way] += table.model(model).price.cost_micro(Usage(prompt, asked.answer_tokens))
            contained[way] += model == STRONG or not asked.hard
        chosen[routed] += 1
    return {
        "asked_by_model": dict(chosen),
        "cost_ratio": round(cost["routed"] / cost["strong"], 3),
        "containment_ratio": round(contained["routed"] / contained["strong"], 3),
        "containment_ratio_of_always_cheap": round(contained["cheap"] / contained["strong"], 3),
        "cost_micro": dict(cost),
    }


if __name__ == "__main__":
    print(measure())
