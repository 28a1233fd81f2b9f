"""The checker of the fault runs finds each violation in a doctored journal or database, and none in a good one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.checker import check
from tests.faults.journal import Journal, Reader, SessionJournal
from tests.faults.reading import read
from tests.faults.report import table, write
from tests.faults.rows import Rows
from tests.faults.schedule import Outcome

TEXT = "heron asks something"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "cached_tokens": 0, "total_tokens": 10}
CANARIES = {"tenant-a": "heron", "tenant-b": "walrus"}


def token(seq: int, text: str, epoch: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "token", "turn_id": "turn", "epoch": epoch, "seq": seq, "text": text, **more}


def done(seq: int, epoch: int = 1) -> dict[str, Any]:
    return {"type": "done", "turn_id": "turn", "epoch": epoch, "seq": seq, "state": "completed", "usage": USAGE}


def gap(seq: int, text: str, epoch: int = 1) -> dict[str, Any]:
    return {"type": "gap", "turn_id": "turn", "epoch": epoch, "seq": seq, "text": text}


@dataclass
class Run:
    """One question of tenant A, answered; tests spoil it."""

    journal: Journal
    session: SessionJournal
    reader: Reader
    rows: Rows

    def violations(self) -> list[str]:
        return check(self.journal, self.rows, CANARIES)


@pytest.fixture
def run() -> Run:
    journal = Journal()
    session = journal.open("tenant-a", "heron", "session")
    session.asked["client"] = TEXT
    reader = session.reader("plain")
    ack = {"type": "ack", "id": "client", "turn_id": "turn", "message_id": "question", "duplicate": False}
    status = {"type": "status", "turn_id": "turn", "epoch": 1, "seq": 1, "stage": "generating"}
    reader.received += [ack, status, token(2, "heron "), token(3, "asks "), token(4, "something"), done(5)]
    own = {"tenant_id": "tenant-a", "session_id": "session"}
    turn = {**own, "id": "turn", "client_id": "client", "user_message_id": "question", "state": "completed", "epoch": 1}
    question = {**own, "id": "question", "turn_id": "turn", "role": "user", "content": TEXT}
    answer = {**own, "id": "answer", "turn_id": "turn", "role": "assistant", "content": TEXT}
    entry = {"tenant_id": "tenant-a", "turn_id": "turn", "kind": "turn", **USAGE}
    event = {
        "id": 1,
        "tenant_id": "tenant-a",
        "kind": "message.completed",
        "payload": {"turn_id": "turn"},
        "published": True,
        "counted": 1,
    }
    total = {"tenant_id": "tenant-a", "ledger_prompt": 7, "ledger_answer": 3, "ledger_turns": 1}
    total |= {"daily_prompt": 7, "daily_answer": 3, "daily_turns": 1}
    texts = [{"kind": "message", "tenant_id": "tenant-a", "text": TEXT}]
    return Run(journal, session, reader, Rows([turn], [question, answer], [entry], [event], [total], texts))


def only(violations: list[str], invariant: str, words: str) -> bool:
    """All are of this invariant, and one says so."""
    return all(v.startswith(invariant) for v in violations) and any(words in v for v in violations)


def test_a_good_run_has_no_violation(run: Run) -> None:
    assert run.violations() == []


def test_an_acknowledged_question_that_is_not_stored(run: Run) -> None:
    run.rows.messages = [row for row in run.rows.messages if row["role"] == "assistant"]
    assert only(run.violations(), "I1", "its message is not stored")
    run.rows.turns[0]["client_id"] = "another"
    assert any("acknowledged as turn turn, which is not stored" in violation for violation in run.violations())


def test_a_question_stored_twice(run: Run) -> None:
    run.rows.messages.append({**run.rows.messages[0], "id": "copy", "turn_id": "other"})
    assert only(run.violations(), "I1", "stored 2 times")


def test_two_turns_of_one_client_id(run: Run) -> None:
    run.rows.turns.append({**run.rows.turns[0], "id": "other", "state": "failed"})
    assert only(run.violations(), "I1", "stored 2 times")


def test_acknowledgements_that_differ(run: Run) -> None:
    run.reader.received.append({**run.reader.received[0], "message_id": "another"})
    assert only(run.violations(), "I1", "acknowledged as different turns")


def test_a_turn_that_nobody_asked_for(run: Run) -> None:
    run.rows.turns.append({**run.rows.turns[0], "id": "other", "client_id": "nobody", "state": "failed"})
    assert only(run.violations(), "I1", "nobody asked for")


def test_a_missing_number(run: Run) -> None:
    del run.reader.received[3]
    assert any("event 4 came after 2" in violation for violation in run.violations())


def test_a_text_that_differs_from_the_stored_answer(run: Run) -> None:
    run.rows.messages[1]["content"] = "heron asks"
    assert only(run.violations(), "I2", "stored is 'heron asks'")


def test_a_done_without_a_stored_answer(run: Run) -> None:
    del run.rows.messages[1]
    run.rows.ledger.clear()
    assert any("done and no answer is stored" in violation for violation in run.violations())


def test_what_the_client_itself_found(run: Run) -> None:
    run.reader.observe("violation", {"turn_id": "turn"})
    assert only(run.violations(), "I2", "the client found")


def test_half_an_answer_that_is_no_part_of_the_stored_one(run: Run) -> None:
    away = run.session.reader("away", follows_to_end=False)
    away.received += [run.reader.received[1], token(2, "otter ")]
    assert only(run.violations(), "I2", "which is no part of")


@pytest.mark.parametrize("copies", [0, 2])
def test_an_answer_that_is_not_billed_once(run: Run, copies: int) -> None:
    run.rows.ledger *= copies
    assert any(v.startswith("I3") and f"has {copies} ledger rows" in v for v in run.violations())


def test_a_bill_that_differs_from_what_was_told(run: Run) -> None:
    run.rows.ledger[0]["completion_tokens"] = 4
    assert only(run.violations(), "I3", "told [7, 3, 0] tokens, billed [7, 4, 0]")


def test_a_turn_without_an_answer_that_is_billed(run: Run) -> None:
    run.rows.turns[0]["state"] = "failed"
    del run.rows.messages[1]
    assert any("(failed) has 1 ledger rows: ['turn']" in violation for violation in run.violations())
    run.rows.ledger[0]["kind"] = "failed_turn"
    assert not any(violation.startswith("I3 turn turn (failed)") for violation in run.violations())


def test_another_tenants_word_in_a_frame(run: Run) -> None:
    run.reader.received.append({"type": "error", "message": "walrus"})
    assert only(run.violations(), "I4", "received ['walrus']")


def test_another_tenants_word_in_a_row(run: Run) -> None:
    run.rows.texts.append({"kind": "outbox", "tenant_id": "tenant-a", "text": "the walrus"})
    assert only(run.violations(), "I4", "(outbox) of tenant tenant-a")


def test_a_row_of_another_tenant_in_the_session(run: Run) -> None:
    run.rows.messages[0]["tenant_id"] = "tenant-b"
    assert only(run.violations(), "I4", "belongs to tenant tenant-b")


def test_a_turn_that_stays_open(run: Run) -> None:
    run.rows.turns[0]["state"] = "running"
    assert only(run.violations(), "I5", "is still running")


def test_a_question_that_got_nothing(run: Run) -> None:
    run.session.unanswered.append("client")
    assert only(run.violations(), "I5", "neither an answer nor an error")


def test_an_acknowledged_turn_whose_end_was_not_seen(run: Run) -> None:
    del run.reader.received[-1]
    assert only(run.violations(), "I5", "no end of turn turn, 4 frames")
    run.reader.follows_to_end = False
    assert run.violations() == []


def test_an_event_that_is_not_published(run: Run) -> None:
    run.rows.outbox[0]["published"] = False
    assert only(run.violations(), "I6", "not published")


@pytest.mark.parametrize("times", [0, 2])
def test_an_event_that_is_not_counted_once(run: Run, times: int) -> None:
    run.rows.outbox[0]["counted"] = times
    assert only(run.violations(), "I6", f"counted {times} times")


def test_an_answer_without_its_event(run: Run) -> None:
    run.rows.outbox.clear()
    assert only(run.violations(), "I6", "has 0 outbox events")


def test_daily_sums_that_lack_something_now_but_not_before(run: Run) -> None:
    run.rows.totals[0]["daily_turns"] = 0
    assert only(run.violations(), "I6", "the daily sum of turns lacks 1")
    assert check(run.journal, run.rows, CANARIES, run.rows.drift()) == []


def test_frames_that_stand_for_several_events_and_a_resend_make_the_same_text() -> None:
    reading = read([token(1, "a"), token(3, "bc", first_seq=2), token(2, "ab", first_seq=1), token(4, "d"), done(5)])
    assert (reading.problems, reading.text) == ([], "abcd")


def test_a_gap_replaces_the_text_and_the_numbers_go_on() -> None:
    reading = read([token(1, "lost"), gap(7, "kept ", epoch=2), token(8, "more", epoch=2), done(9, epoch=2)])
    assert (reading.problems, reading.text) == ([], "kept more")


def test_a_later_epoch_that_gives_the_whole_turn_again() -> None:
    reading = read([token(1, "a"), token(2, "x"), token(1, "a", epoch=2), token(2, "b", epoch=2), done(3, epoch=2)])
    assert (reading.problems, reading.text) == ([], "ab")


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([token(1, "a"), token(2, "b"), token(2, "c", epoch=2)], "used event 2 again"),
        ([token(1, "a", epoch=2), token(2, "b", epoch=1)], "of epoch 1 after epoch 2"),
        ([token(1, "a"), token(1, "b")], "again with another text"),
        ([token(1, "a"), done(2), token(3, "b")], "after the end"),
        ([token(2, "b")], "event 2 came after 0"),
    ],
)
def test_numbers_that_break_the_rules(frames: list[dict[str, Any]], words: str) -> None:
    assert any(words in problem for problem in read(frames).problems)


def test_the_journal_knows_answers_on_their_way_and_those_of_two_processes(run: Run) -> None:
    assert not run.journal.mid_stream()
    assert run.journal.taken_over() == set()
    run.session.reader("away").received += [token(2, "heron "), token(3, "asks", epoch=2)]
    assert run.journal.mid_stream()
    assert run.journal.taken_over() == {"turn"}


def test_the_table_counts_by_fault(tmp_path: Path) -> None:
    outcomes = [
        Outcome(0, "gateway", recovery=2.0, settled=4.0, acknowledged=9, questions=10),
        Outcome(1, "router", violations=["I1 lost"], not_injected="nothing there"),
        Outcome(2, "gateway", recovery=4.0, settled=9.5),
    ]
    lines = table(outcomes).splitlines()
    assert lines[2:] == [
        "| gateway | 2 | 0 | 0 | 3.0 | 4.0 | 9.5 |",
        "| router | 1 | 1 | 1 | – | – | 0.0 |",
        "| **all** | 3 | 1 | 1 | 3.0 | 4.0 | 9.5 |",
    ]
    file = tmp_path / "RESULTS.md"
    file.write_text("# Results\n\n<!-- faults -->\nold\n\n<!-- other -->\nkept\n", "utf-8")
    write(outcomes, file)
    write(outcomes, file)
    text = file.read_text("utf-8")
    assert "old" not in text
    assert "kept" in text
    assert text.count("<!-- faults -->") == 1
    assert "10 questions were asked, 9 acknowledged" in text
