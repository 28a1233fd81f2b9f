"""Scores of single questions and their sums, against numbers worked out by hand."""

from uuid import UUID

import pytest

from domain.conversation import Citation
from domain.documents import Passage
from domain.evaluation import (
    Metric,
    Outcome,
    QuestionResult,
    Scores,
    Summary,
    result_of,
    scores_of,
    summary_of,
)
from domain.generation import Usage
from domain.ids import DocumentId, QuestionId
from domain.question_set import ExpectedPassage, QuestionSpec, words
from tests.fixtures.twins import DOCUMENT, passage

OTHER = UUID(int=8)


def spec(**fields: object) -> QuestionSpec:
    return QuestionSpec.model_validate({"question": "What does the lamp cost?", **fields})


def outcome(*passages: Passage, answer: str | None = None, **fields: object) -> Outcome:
    return Outcome(passages, answer, **{"citations": (), "refused": not passages, **fields})  # type: ignore[arg-type]


def citation(start: int, end: int, snippet: str = "x", document: UUID = DOCUMENT) -> Citation:
    return Citation(1, DocumentId(document), "manual.pdf", None, None, start, end, snippet)


LAMP = passage("The lamp costs 40 euros.", start=100)
CHAIR = passage("The chair is green.", start=0, ordinal=1)


def test_recall_is_the_share_of_the_expected_passages_among_the_first() -> None:
    expected = [
        {"document_id": DOCUMENT, "start": 100, "end": 124},
        {"document": "MANUAL.pdf", "snippet": "the chair is GREEN"},
        {"document": "other.pdf"},
    ]
    scores = scores_of(spec(passages=expected), outcome(passage("Nothing.", start=900), CHAIR, LAMP))
    assert scores[Metric.RECALL_1] == 0
    assert scores[Metric.RECALL_3] == pytest.approx(2 / 3)
    assert scores[Metric.RECALL_10] == pytest.approx(2 / 3)
    assert scores[Metric.MRR] == 0.5
    assert Metric.CITATION_PRECISION not in scores
    assert Metric.ANSWER_CONTAINMENT not in scores


def test_without_expected_passages_a_passage_is_right_that_holds_an_answer() -> None:
    scores = scores_of(spec(answers=["40 Euros", "forty euros"]), outcome(CHAIR, LAMP))
    assert (scores[Metric.RECALL_1], scores[Metric.RECALL_3], scores[Metric.MRR]) == (0, 1, 0.5)
    scores = scores_of(spec(answers=["140 euros"]), outcome(CHAIR, LAMP))
    assert (scores[Metric.RECALL_10], scores[Metric.MRR]) == (0, 0)


def test_without_expectations_only_whether_there_was_an_answer_counts() -> None:
    assert scores_of(spec(), outcome(LAMP)) == {Metric.ANSWERED: 1}
    assert scores_of(spec(), outcome()) == {Metric.ANSWERED: 0}


def test_a_question_without_an_answer_in_the_documents_wants_to_be_refused() -> None:
    assert scores_of(spec(answerable=False), outcome()) == {Metric.NO_ANSWER: 1}
    made_up = outcome(LAMP, answer="It is blue.", refused=False)
    assert scores_of(spec(answerable=False), made_up) == {Metric.NO_ANSWER: 0}


@pytest.mark.parametrize(
    ("start", "end", "right"),
    [(100, 124, True), (110, 135, True), (112, 124, True), (113, 140, False), (0, 100, False), (105, 110, True)],
)
def test_half_of_the_shorter_span_in_common_is_the_same_place(start: int, end: int, right: bool) -> None:
    expected = {"document_id": DOCUMENT, "start": start, "end": end}
    assert scores_of(spec(passages=[expected]), outcome(LAMP))[Metric.RECALL_1] == right


def test_another_document_is_never_the_right_one() -> None:
    for expected in ({"document_id": OTHER, "start": 100, "end": 124}, {"document": "b.pdf", "snippet": LAMP.text}):
        assert scores_of(spec(passages=[expected]), outcome(LAMP))[Metric.MRR] == 0


def test_a_long_snippet_across_two_chunks_is_in_the_one_with_half_of_it() -> None:
    snippet = "one two three four five six seven eight nine ten"
    expected = [{"snippet": snippet}]
    half = passage("Before. One, two, three, four, five!")
    less = passage("Before. One, two, three, four.")
    short = passage("A short snippet must be there as a whole: seven eight.")
    assert scores_of(spec(passages=expected), outcome(half))[Metric.RECALL_1] == 1
    assert scores_of(spec(passages=expected), outcome(less))[Metric.RECALL_1] == 0
    assert scores_of(spec(passages=[{"snippet": "seven eight nine"}]), outcome(short))[Metric.RECALL_1] == 0


def test_answers_are_compared_by_their_words() -> None:
    asked = spec(answers=["forty euros", "40 euros"])
    said = scores_of(asked, outcome(LAMP, answer="It costs Forty  EUROS, plus tax.", refused=False))
    assert said[Metric.ANSWER_CONTAINMENT] == 1
    # Two words in common of six and two.
    assert said[Metric.ANSWER_F1] == pytest.approx(2 * 2 / (6 + 2))
    wrong = scores_of(asked, outcome(LAMP, answer="It costs fifty.", refused=False))
    assert (wrong[Metric.ANSWER_CONTAINMENT], wrong[Metric.ANSWER_F1]) == (0, 0)
    refused = scores_of(asked, outcome(LAMP, answer="40 euros", refused=True))
    assert (refused[Metric.ANSWERED], refused[Metric.ANSWER_CONTAINMENT]) == (0, 0)
    broken = scores_of(asked, outcome(LAMP, error="The question is too long.", refused=False))
    assert (broken[Metric.ANSWERED], broken[Metric.ANSWER_CONTAINMENT]) == (0, 0)


def test_scripts_without_spaces_have_words() -> None:
    assert words("ランプは４０ユーロ。") == "ラ ン プ は 4 0 ユ ー ロ".replace("4 0", "40")
    asked = spec(answers=["40ユーロ"])
    said = outcome(LAMP, answer="ランプは40ユーロです。", refused=False)
    assert scores_of(asked, said)[Metric.ANSWER_CONTAINMENT] == 1


def test_citations_are_right_where_they_point_to_an_expected_passage() -> None:
    asked = spec(passages=[{"document_id": DOCUMENT, "start": 100, "end": 124}])
    cited = (citation(100, 124), citation(0, 19), citation(100, 124, document=OTHER))
    said = outcome(LAMP, answer="40 euros", citations=cited, refused=False)
    assert scores_of(asked, said)[Metric.CITATION_PRECISION] == pytest.approx(1 / 3)


def result(number: int, scores: Scores, retrieval_ms: int = 0, error: str | None = None) -> QuestionResult:
    return QuestionResult(
        QuestionId(UUID(int=number)), scores, (), None, error, "", Usage(10, 2), 7, retrieval_ms, retrieval_ms
    )


def test_a_mean_is_over_the_questions_that_a_metric_says_something_about() -> None:
    results = [
        result(1, {Metric.MRR: 1.0, Metric.ANSWERED: 1.0}, 10),
        result(2, {Metric.MRR: 0.5, Metric.ANSWERED: 0.0}, 20, "Too long."),
        result(3, {Metric.NO_ANSWER: 1.0}, 30),
    ]
    found = summary_of(results)
    assert {name: (mean.value, mean.questions) for name, mean in found.metrics.items()} == {
        Metric.MRR: (0.75, 2),
        Metric.ANSWERED: (0.5, 2),
        Metric.NO_ANSWER: (1.0, 1),
    }
    assert (found.questions, found.errors, found.prompt_tokens, found.completion_tokens) == (3, 1, 30, 6)
    assert (found.cost_micro, found.retrieval_ms) == (21, (20, 30))
    assert Summary.from_json(found.as_json()) == found
    assert summary_of([]).retrieval_ms == (0, 0)


def test_a_result_keeps_places_and_no_words_of_documents() -> None:
    kept = result_of(QuestionId(UUID(int=1)), spec(answers=["40 euros"]), outcome(CHAIR, LAMP))
    assert [(one.start, one.end, one.right) for one in kept.found] == [(0, 19, False), (100, 124, True)]
    assert "lamp" not in repr(kept)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"start": 1, "end": 2},
        {"document": "a.txt", "start": 1},
        {"document": "a.txt", "start": 2, "end": 2},
        {"document": " "},
        {"snippet": "a\x00b"},
    ],
)
def test_an_expected_passage_says_where(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        ExpectedPassage.model_validate(fields)
