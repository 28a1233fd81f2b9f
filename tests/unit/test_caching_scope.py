"""Which questions may have a kept answer, what their scope depends on, and which answers are kept."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.caching.keeping import to_keep
from domain.caching.scope import CacheHit, CacheScope, KeptAnswer, Versions, match_of, scope_of
from domain.chatbot import ChatbotConfig
from domain.conversation import Citation, TurnState
from domain.generation import PromptMessage, Usage
from domain.guarding.report import GuardNote, GuardReport
from domain.ids import ChatbotId, SessionId, TenantId
from domain.turn import AnswerEnded
from tests.fixtures.twins import DOCUMENT, turn_input

TENANT, BOT, SESSION = TenantId(UUID(int=1)), ChatbotId(UUID(int=2)), SessionId(UUID(int=3))
SEMANTIC = {"mode": "semantic"}
VERSIONS = Versions(4, 7)
CITED = Citation(1, DOCUMENT, "manual.pdf", 1, None, 0, 9, "The lamp.")


def scope(question: str = "What does the lamp cost?", *history: str, **more: Any) -> CacheScope | None:
    said = tuple(PromptMessage(("user", "assistant")[at % 2], text) for at, text in enumerate(history))
    values: dict[str, Any] = {
        "tenant_id": TENANT,
        "chatbot_id": BOT,
        "versions": VERSIONS,
        "config": ChatbotConfig(),
        "model": "m",
        "embedding_model": "",
        "names": (),
    }
    return scope_of(**{**values, **more}, question=question, history=said)


def test_a_question_for_everybody_may_have_a_kept_answer() -> None:
    found = scope()
    assert found is not None
    assert found.may_keep


@pytest.mark.parametrize(
    "asked",
    [
        {"versions": None},
        {"config": ChatbotConfig.model_validate({"cache": {"mode": "off"}})},
        {"question": "What does my lamp cost?"},
        {"question": "What did Ada order?", "names": ["Ada"]},
    ],
)
def test_what_has_to_be_answered_anew(asked: dict[str, Any]) -> None:
    assert scope(**asked) is None


def test_in_a_conversation_only_a_question_that_stands_alone_is_looked_for_and_no_answer_is_kept() -> None:
    alone = scope("What does the lamp cost?", "Is the shop open on Monday?", "Yes.")
    assert alone is not None
    assert not alone.may_keep
    assert scope("And what does it cost?", "Is there a lamp?", "Yes.") is None
    assert scope("What does the lamp cost?", "I am a student.", "Good.") is None


def test_the_scope_differs_with_everything_that_an_answer_depends_on() -> None:
    others: list[dict[str, Any]] = [
        {"tenant_id": TenantId(UUID(int=9))},
        {"chatbot_id": ChatbotId(UUID(int=9))},
        {"versions": Versions(5, 7)},
        {"versions": Versions(4, 8)},
        {"versions": Versions(7, 4)},
        {"model": "n"},
        {"embedding_model": "e"},
    ]
    tags = {found.tag for found in (scope(**other) for other in ({}, *others)) if found}
    assert len(tags) == len(others) + 1


def ended(answer: str = "It costs 40 euros.", **more: Any) -> AnswerEnded:
    values: dict[str, Any] = {
        "state": TurnState.COMPLETED,
        "answer": answer,
        "citations": (CITED,),
        "model": "m",
        "usage": Usage(100, 5),
        "plan_reason": "preferred",
    }
    return AnswerEnded(**{**values, **more})


def kept(outcome: AnswerEnded, **config: Any) -> KeptAnswer | None:
    turn = turn_input(**config)
    return to_keep(replace(turn, cache=scope(config=turn.config)), SESSION, outcome)


def test_a_whole_answer_with_its_sources_is_kept() -> None:
    assert kept(ended()) == KeptAnswer("What does the lamp cost?", "It costs 40 euros.", (CITED,), "m", SESSION)


@pytest.mark.parametrize(
    "outcome",
    [
        {"state": TurnState.STOPPED},
        {"state": TurnState.INTERRUPTED},
        {"usage": Usage()},
        {"citations": ()},
        {"answer": " "},
        {"answer": "Sorry. I could not find an answer to that in the documents!"},
        {"cached": "exact"},
        {"guard": GuardReport(notes=[GuardNote("output", "secrets", "redacted")])},
        {"guard": GuardReport(notes=[GuardNote("retrieved", "injection", "dropped")])},
        {"guard": GuardReport(notes=[GuardNote("output", "rules", "failed", failure="X")])},
    ],
)
def test_what_is_not_kept(outcome: dict[str, Any]) -> None:
    assert kept(ended(**outcome)) is None


def test_an_open_bot_keeps_answers_without_sources_and_notes_do_no_harm() -> None:
    assert kept(ended(citations=()), retrieval={"grounding": "open"}) is not None
    assert kept(ended(guard=GuardReport(notes=[GuardNote("input", "injection", "noted")]))) is not None


def test_only_a_question_that_may_be_looked_for_has_its_answer_kept() -> None:
    turn = turn_input()
    assert to_keep(turn, SESSION, ended()) is None
    asked = scope("What does the lamp cost?", "Is the shop open?", "Yes.")
    assert to_keep(replace(turn, cache=asked), SESSION, ended()) is None


def test_the_reason_on_the_message_says_how_it_was_found() -> None:
    answer = kept(ended())
    assert answer is not None
    assert CacheHit(answer, "exact").reason == "cache: exact"
    assert CacheHit(answer, "semantic", 0.968).reason == "cache: semantic 0.97"
    assert match_of("cache: exact") == "exact"
    assert match_of("cache: semantic 0.97") == "semantic"
    assert match_of("preferred") is match_of(None) is None
