"""Two evaluations beside each other: what each metric gained or lost, and which questions got better or worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.evaluation import Metric, QuestionResult, Summary, summary_of
from domain.ids import QuestionId

TINY = 1e-9


class Change(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    MIXED = "mixed"
    """Some metrics gained and some lost."""


@dataclass(frozen=True, slots=True)
class Difference:
    metric: Metric
    before: float
    after: float
    questions: int
    """Those that both say something about."""

    @property
    def change(self) -> float:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class ChangedQuestion:
    question_id: QuestionId
    change: Change
    scores: Mapping[Metric, tuple[float, float]]
    """Before and after, of the metrics that changed."""


@dataclass(frozen=True, slots=True)
class Comparison:
    metrics: tuple[Difference, ...]
    """Over the questions that both asked."""
    changed: tuple[ChangedQuestion, ...]
    """In the order of the questions."""
    common: int
    only_before: int
    only_after: int


def compare(before: Sequence[QuestionResult], after: Sequence[QuestionResult]) -> Comparison:
    """Only questions that both asked are compared, so that a set which grew does not look like a change of the bot."""
    first = {result.question_id: result for result in before}
    second = {result.question_id: result for result in after}
    common = [question for question in first if question in second]
    old = summary_of(first[question] for question in common)
    new = summary_of(second[question] for question in common)
    changed = [found for question in common if (found := _changed(first[question], second[question])) is not None]
    return Comparison(
        metrics=_differences(old, new),
        changed=tuple(changed),
        common=len(common),
        only_before=len(first) - len(common),
        only_after=len(second) - len(common),
    )


def _differences(old: Summary, new: Summary) -> tuple[Difference, ...]:
    both = [name for name in Metric if name in old.metrics and name in new.metrics]
    return tuple(
        Difference(
            name,
            old.metrics[name].value,
            new.metrics[name].value,
            min(old.metrics[name].questions, new.metrics[name].questions),
        )
        for name in both
    )


def _changed(before: QuestionResult, after: QuestionResult) -> ChangedQuestion | None:
    scores = {
        name: (before.scores[name], after.scores[name])
        for name in Metric
        if name in before.scores and name in after.scores and abs(before.scores[name] - after.scores[name]) > TINY
    }
    if not scores:
        return None
    gained = any(new > old for old, new in scores.values())
    lost = any(new < old for old, new in scores.values())
    change = Change.MIXED if gained and lost else Change.BETTER if gained else Change.WORSE
    return ChangedQuestion(before.question_id, change, scores)
