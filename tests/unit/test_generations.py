"""Generations of knowledge: how far they are, and how two of them compare."""

from dataclasses import replace
from uuid import UUID

import pytest

from domain.documents import Passage
from domain.generations import ComparedQuestion, Comparison, Progress, QuestionOrigin, compared
from domain.ids import ChatbotId, DocumentId
from storage.vectors.places import place_of, table_of
from tests.fixtures.twins import DOCUMENT, passage

OTHER = DocumentId(UUID(int=8))
BOT = ChatbotId(UUID("01936f2e-8f1c-7abc-8def-0123456789ab"))
PROGRESS = Progress(
    documents=10,
    done=4,
    failed=1,
    chunks=80,
    live_chunks_done=40,
    live_chunks_left=50,
    recent_chunks=60,
    recent_seconds=30.0,
)


def at(start: int, end: int, document: DocumentId = DOCUMENT) -> Passage:
    return replace(passage("x"), start=start, end=end, document_id=document)


def test_what_is_left_takes_as_long_as_what_was_done() -> None:
    # 50 chunks of the live generation are 100 of this one, at two a second.
    assert (PROGRESS.chunks_per_second, PROGRESS.seconds_left) == (2.0, 50)


def test_nothing_is_promised_without_a_pace() -> None:
    idle = replace(PROGRESS, recent_chunks=0)
    assert (idle.chunks_per_second, idle.seconds_left) == (None, None)
    assert replace(PROGRESS, live_chunks_done=0).seconds_left is None


def test_a_generation_with_everything_needs_no_more_time() -> None:
    assert replace(PROGRESS, done=9, recent_chunks=0).seconds_left == 0


def test_both_generations_are_measured_on_the_same_questions() -> None:
    questions = [ComparedQuestion(text, ((DOCUMENT, 100, 200),)) for text in ("first", "second")]
    live = [[at(0, 90), at(90, 210)], [at(300, 400)]]
    candidate = [[at(140, 180)], [at(0, 100, OTHER), at(100, 200, OTHER), at(120, 320)]]
    found = compared(QuestionOrigin.PASSAGES, questions, live, candidate)
    assert (found.live.recall, found.live.mrr) == (0.5, 0.25)
    assert (found.candidate.recall, found.candidate.mrr) == (1.0, 0.6667)
    # Of the live one's passages the candidate has the second of the first question, and not those of others' documents.
    assert found.agreement == 0.25
    assert Comparison.from_json(found.as_json()) == found


def test_passages_beyond_the_fifth_do_not_count() -> None:
    question = ComparedQuestion("where?", ((DOCUMENT, 0, 10),))
    six = [at(100 * place, 100 * place + 10) for place in range(5, -1, -1)]
    assert compared(QuestionOrigin.CONVERSATIONS, [question], [six], [six]).live.recall == 0.0
    assert compared(QuestionOrigin.CONVERSATIONS, [question], [six[1:]], [six]).live.recall == 1.0


def test_without_questions_nothing_is_claimed() -> None:
    found = compared(QuestionOrigin.PASSAGES, [], [], [])
    assert (found.questions, found.origin) == (0, None)
    assert Comparison.from_json(found.as_json()) == found


@pytest.mark.parametrize("generation", [0, 1, 7, 123_456_789])
def test_a_table_says_whose_it_is(generation: int) -> None:
    assert place_of(table_of(BOT, generation)) == (BOT, generation)


@pytest.mark.parametrize(
    "name", ["", "x", f"{BOT}-g0", f"{BOT}-g01", f"{BOT}-g-1", f"{BOT}-g1x", f"{BOT}-1", f"{BOT}x"]
)
def test_any_other_name_is_nobodys(name: str) -> None:
    assert place_of(name) is None


def test_the_first_generation_has_the_name_of_before() -> None:
    assert table_of(BOT) == str(BOT)
