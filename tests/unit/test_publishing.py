"""Comparisons, drafts and the gate's judgement."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.chatbot import ChatbotConfig
from domain.comparison import Change, compare
from domain.evaluation import Metric, Scores, Summary, summary_of
from domain.publishing import GateRule, GateSpec, changed_fields, changes_of, judge, same_answers
from tests.unit.test_evaluation import result


def summary(errors: int = 0, **means: float) -> Summary:
    scores: Scores = {Metric[name]: value for name, value in means.items()}
    results = [result(1, scores)] + [result(2 + n, {}, error="x") for n in range(errors)]
    return summary_of(results)


def rule(metric: Metric, **bounds: float) -> GateRule:
    return GateRule.model_validate({"metric": metric, **bounds})


def test_what_fell_too_far_is_named_and_nothing_else() -> None:
    rules = [
        rule(Metric.RECALL_5, max_drop=0.05),
        rule(Metric.MRR, least=0.5),
        rule(Metric.ANSWER_CONTAINMENT, least=0.2, max_drop=0.0),
    ]
    live = summary(RECALL_5=0.9, MRR=0.4, ANSWER_CONTAINMENT=0.5)
    assert judge(rules, summary(RECALL_5=0.85, MRR=0.5, ANSWER_CONTAINMENT=0.5), live) == []
    fallen = judge(rules, summary(RECALL_5=0.84, MRR=0.49, ANSWER_CONTAINMENT=0.4), live)
    assert fallen == [
        "recall@5 fell from 0.900 to 0.840, by more than 0.050.",
        "mrr is 0.490 and must be at least 0.500.",
        "answer_containment fell from 0.500 to 0.400, by more than 0.000.",
    ]


def test_what_was_not_measured_does_not_pass() -> None:
    assert judge([rule(Metric.MRR, least=0.0)], summary(), summary(MRR=1)) == [
        "mrr could not be measured: no question of the set asks for it."
    ]
    assert judge([rule(Metric.MRR, max_drop=0.0)], summary(MRR=0.1), summary()) == []


def test_more_questions_without_an_answer_do_not_pass() -> None:
    passes = rule(Metric.MRR, least=0.0)
    assert judge([passes], summary(1, MRR=1), summary(1, MRR=1)) == []
    [fallen] = judge([passes], summary(2, MRR=1), summary(1, MRR=1))
    assert fallen == "The draft failed on 2 questions, the live version on 1."


@pytest.mark.parametrize(
    "fields",
    [
        {"rules": []},
        {"rules": [{"metric": "mrr"}]},
        {"rules": [{"metric": "mrr", "least": 1.1}]},
        {"rules": [{"metric": "mrr", "least": float("nan")}]},
        {"rules": [{"metric": "mrr", "least": 1}, {"metric": "mrr", "max_drop": 0}]},
        {"rules": [{"metric": "answer_f1", "least": 1}], "mode": "retrieval"},
    ],
)
def test_a_gate_that_says_nothing_or_cannot_be_measured_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        GateSpec.model_validate({"question_set_id": str(uuid4()), **fields})


def test_fields_that_no_answer_depends_on() -> None:
    one = ChatbotConfig()
    harmless = one.model_copy(update={"greeting": "Hi", "visitors": "off", "retention_days": 3})
    assert changed_fields(one, harmless) == ["greeting", "retention_days", "visitors"]
    assert same_answers(one, harmless)
    assert not same_answers(one, one.model_copy(update={"tone": "dry"}))


def test_changes_are_as_deep_as_the_parts() -> None:
    base = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1]}
    assert changes_of(base, {"a": 1, "b": {"c": 1, "d": 3}, "e": [1, 2]}) == {"b": {"d": 3}, "e": [1, 2]}
    assert changes_of(base, base) == {}
    assert changes_of({"a": {"x": 1}}, {"a": {"y": 1}}) == {"a": {"y": 1}}
    assert changes_of({"a": None}, {"a": {"y": 1}}) == {"a": {"y": 1}}


def test_a_comparison_is_over_the_questions_that_both_asked() -> None:
    before = [
        result(1, {Metric.MRR: 1.0, Metric.ANSWERED: 1.0}),
        result(2, {Metric.MRR: 0.5, Metric.ANSWERED: 0.0}),
        result(3, {Metric.MRR: 0.5}),
        result(4, {Metric.MRR: 0.0}),
        result(5, {Metric.MRR: 0.25}),
    ]
    after = [
        result(1, {Metric.MRR: 0.5, Metric.ANSWERED: 1.0}),
        result(2, {Metric.MRR: 0.25, Metric.ANSWERED: 1.0}),
        result(3, {Metric.MRR: 1.0}),
        result(5, {Metric.MRR: 0.25}),
        result(6, {Metric.MRR: 1.0}),
    ]
    found = compare(before, after)
    assert (found.common, found.only_before, found.only_after) == (4, 1, 1)
    assert [(one.question_id, one.change) for one in found.changed] == [
        (UUID(int=1), Change.WORSE),
        (UUID(int=2), Change.MIXED),
        (UUID(int=3), Change.BETTER),
    ]
    assert found.changed[1].scores == {Metric.MRR: (0.5, 0.25), Metric.ANSWERED: (0.0, 1.0)}
    [mrr, answered] = found.metrics
    assert (mrr.metric, mrr.before, mrr.after, mrr.questions) == (Metric.MRR, 0.5625, 0.5, 4)
    assert (answered.metric, answered.change) == (Metric.ANSWERED, 0.5)
