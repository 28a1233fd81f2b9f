"""Drafts and the publish gate: what a change of configuration touches, and whether its answers are good enough."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.chatbot import ChatbotConfig
from domain.comparison import TINY
from domain.errors import Conflict
from domain.evaluation import RETRIEVAL_METRICS, Metric, Summary
from domain.evaluation_run import Mode

NOT_IN_ANSWERS = frozenset(("greeting", "visitors", "privacy", "retention_days"))
"""Fields of a configuration that no answer depends on."""


class GateRefused(Conflict):
    code, default = "gate_refused", "The draft is not good enough to be published."


class GateInTheWay(Conflict):
    code = "gate_in_the_way"
    default = (
        "This bot has a publish gate: save what changes its answers as a draft (PUT /chatbots/{id}/draft) and publish "
        "it (POST /chatbots/{id}/publish)."
    )


class GateRule(BaseModel):
    """What one metric of the draft must reach."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: Metric
    least: float | None = Field(
        None, ge=0, le=1, description="The draft must reach it, whatever the live version does."
    )
    max_drop: float | None = Field(
        None, ge=0, le=1, description="How much below the live version the draft may be; 0 for nothing."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.least is None and self.max_drop is None:
            raise ValueError("a rule has `least` or `max_drop`")
        return self


class GateSpec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    question_set_id: UUID
    mode: Mode = Mode.RETRIEVAL
    rules: Annotated[tuple[GateRule, ...], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        names = [rule.metric for rule in self.rules]
        if len(set(names)) != len(names):
            raise ValueError("a metric has more than one rule")
        if self.mode is Mode.RETRIEVAL and (other := [name for name in names if name not in RETRIEVAL_METRICS]):
            raise ValueError(f"{other[0].value} needs the mode `answers`")
        return self


@dataclass(frozen=True, slots=True)
class Draft:
    config: ChatbotConfig
    base_version: int
    """The live version that it was made from."""
    updated_at: datetime


def changes_of(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be merged into `base` to make it `other`: the fields that differ, also of its parts."""
    found: dict[str, Any] = {}
    for key, value in other.items():
        present = base.get(key)
        if isinstance(present, Mapping) and isinstance(value, Mapping) and present.keys() == value.keys():
            if inner := changes_of(present, value):
                found[key] = inner
        elif key not in base or present != value:
            found[key] = value
    return found


def changed_fields(one: ChatbotConfig, other: ChatbotConfig) -> list[str]:
    """Names of the fields that differ, sorted."""
    return sorted(changes_of(one.model_dump(mode="json"), other.model_dump(mode="json")))


def same_answers(one: ChatbotConfig, other: ChatbotConfig) -> bool:
    """Whether nothing that answers depend on differs; what is not known to be harmless counts."""
    return NOT_IN_ANSWERS.issuperset(changed_fields(one, other))


def judge(rules: Iterable[GateRule], draft: Summary, live: Summary) -> list[str]:
    """What keeps the draft from being published, one sentence each; empty when nothing does."""
    found = []
    if draft.errors > live.errors:
        found.append(f"The draft failed on {draft.errors} questions, the live version on {live.errors}.")
    for rule in rules:
        name, mean = rule.metric.value, draft.metrics.get(rule.metric)
        if mean is None:
            found.append(f"{name} could not be measured: no question of the set asks for it.")
            continue
        if rule.least is not None and mean.value < rule.least - TINY:
            found.append(f"{name} is {mean.value:.3f} and must be at least {rule.least:.3f}.")
        before = live.metrics.get(rule.metric)
        if rule.max_drop is not None and before is not None and mean.value < before.value - rule.max_drop - TINY:
            found.append(f"{name} fell from {before.value:.3f} to {mean.value:.3f}, by more than {rule.max_drop:.3f}.")
    return found
