"""The invariants of a run, asserted on what its clients saw and on what the database holds.

I1 stored once, I2 seen without gaps and as stored, I3 billed once and as told, I4 of one tenant only, I5 ended,
I6 published and counted once.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from tests.faults.journal import Journal, SessionJournal
from tests.faults.reading import read
from tests.faults.rows import Drift, Row, Rows

COMPLETED = "message.completed"


def check(journal: Journal, rows: Rows, canaries: dict[str, str], before: Drift | None = None) -> list[str]:
    """One sentence per violation, its invariant first.

    `canaries` is each tenant's word by tenant id, `before` the drift that earlier runs left behind.
    """
    return [
        *_stored_once(journal, rows),
        *_seen_as_stored(journal, rows),
        *_billed_as_told(journal, rows),
        *_of_one_tenant(journal, rows, canaries),
        *_ended(journal, rows),
        *_counted_once(rows, before or {}),
    ]


def _stored_once(journal: Journal, rows: Rows) -> Iterator[str]:
    turns: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for turn in rows.turns:
        turns[turn["session_id"], turn["client_id"]].append(turn)
    questions: dict[str, list[Row]] = defaultdict(list)
    for message in rows.messages:
        if message["role"] == "user":
            questions[message["session_id"]].append(message)
    for session in journal.sessions:
        acks = _acks(session)
        copies = Counter(message["content"] for message in questions[session.session_id])
        for client_id, text in session.asked.items():
            stored = turns[session.session_id, client_id]
            if len(stored) > 1 or copies[text] > 1:
                yield f"I1 question {client_id} is stored {max(len(stored), copies[text])} times"
            told = acks.get(client_id, set())
            if len(told) > 1:
                yield f"I1 question {client_id} was acknowledged as different turns: {sorted(told)}"
            for turn_id, message_id in told:
                if not any(turn["id"] == turn_id and turn["user_message_id"] == message_id for turn in stored):
                    yield f"I1 question {client_id} was acknowledged as turn {turn_id}, which is not stored"
                elif not any(
                    message["id"] == message_id and message["content"] == text
                    for message in questions[session.session_id]
                ):
                    yield f"I1 question {client_id} was acknowledged and its message is not stored"
        unknown = {key[1] for key in turns if key[0] == session.session_id and turns[key]} - session.asked.keys()
        if unknown:
            yield f"I1 session {session.session_id} has turns that nobody asked for: {sorted(unknown)}"


def _acks(session: SessionJournal) -> dict[str, set[tuple[str, str]]]:
    """(turn, message) of every acknowledgement, by the client's id."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for reader in session.readers:
        for ack in reader.acks():
            found[ack["id"]].add((str(ack["turn_id"]), str(ack["message_id"])))
    return found


def _seen_as_stored(journal: Journal, rows: Rows) -> Iterator[str]:
    answers = {message["turn_id"]: message["content"] for message in rows.messages if message["role"] == "assistant"}
    for session, reader in journal.readers():
        where = f"{reader.name} of {session.session_id}"
        for violation in reader.violations:
            yield f"I2 {where}: the client found {violation}"
        for turn_id, frames in reader.by_turn().items():
            reading, stored = read(frames), answers.get(turn_id)
            for problem in reading.problems:
                yield f"I2 {where}, turn {turn_id}: {problem}"
            finished = reading.end is not None and reading.end["type"] == "done"
            if finished and stored is None:
                yield f"I2 {where}, turn {turn_id}: it is done and no answer is stored"
            if stored is None or reading.text is None:
                continue
            if finished and reading.text != stored:
                yield f"I2 {where}, turn {turn_id}: read {reading.text!r}, stored is {stored!r}"
            elif not finished and not (stored.startswith(reading.text) or reading.text.startswith(stored)):
                yield f"I2 {where}, turn {turn_id}: read {reading.text!r}, which is no part of {stored!r}"


def _billed_as_told(journal: Journal, rows: Rows) -> Iterator[str]:
    answered = {message["turn_id"] for message in rows.messages if message["role"] == "assistant"}
    entries: dict[str, list[Row]] = defaultdict(list)
    for entry in rows.ledger:
        entries[entry["turn_id"]].append(entry)
    for turn in rows.turns:
        kinds = [entry["kind"] for entry in entries[turn["id"]]]
        # What a turn without an answer used is booked as well, when it used anything.
        allowed = (["turn"],) if turn["id"] in answered else ([], ["failed_turn"])
        if kinds not in allowed:
            yield f"I3 turn {turn['id']} ({turn['state']}) has {len(kinds)} ledger rows: {kinds}"
    for _, reader in journal.readers():
        for done in reader.received:
            if done["type"] != "done":
                continue
            rows_of = entries[str(done["turn_id"])]
            billed = [_sums(rows_of, name) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")]
            told = [done["usage"][name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens")]
            if billed != told:
                yield f"I3 turn {done['turn_id']}: told {told} tokens, billed {billed}"


def _sums(entries: Iterable[Row], name: str) -> int:
    return sum(int(entry[name]) for entry in entries)


def _of_one_tenant(journal: Journal, rows: Rows, canaries: dict[str, str]) -> Iterator[str]:
    def strangers(tenant_id: str, text: str) -> list[str]:
        return [word for tenant, word in canaries.items() if tenant != tenant_id and word in text]

    owner = {session.session_id: session.tenant_id for session in journal.sessions}
    for session, reader in journal.readers():
        for frame in reader.received:
            if found := strangers(session.tenant_id, str(frame)):
                yield f"I4 {reader.name} of {session.session_id} received {found}"
    for row in rows.texts:
        if found := strangers(row["tenant_id"], row["text"]):
            yield f"I4 a row ({row['kind']}) of tenant {row['tenant_id']} holds {found}"
    for row in [*rows.turns, *rows.messages]:
        if owner.get(row["session_id"], row["tenant_id"]) != row["tenant_id"]:
            yield f"I4 a row of session {row['session_id']} belongs to tenant {row['tenant_id']}"


def _ended(journal: Journal, rows: Rows) -> Iterator[str]:
    for turn in rows.open_turns():
        yield f"I5 turn {turn['id']} of session {turn['session_id']} is still {turn['state']}"
    for session in journal.sessions:
        for client_id in session.unanswered:
            yield f"I5 question {client_id} of session {session.session_id} got neither an answer nor an error"
    for session, reader in journal.readers():
        if not reader.follows_to_end:
            continue
        turns = reader.by_turn()
        ended = {str(frame.get("turn_id")) for frame in reader.received if frame["type"] in ("done", "error")}
        for ack in reader.acks():
            if str(ack["turn_id"]) not in ended:
                frames = len(turns.get(str(ack["turn_id"]), []))
                yield f"I5 {reader.name} of {session.session_id}: no end of turn {ack['turn_id']}, {frames} frames"


def _counted_once(rows: Rows, before: Drift) -> Iterator[str]:
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in rows.outbox:
        if not event["published"]:
            yield f"I6 outbox event {event['id']} is not published"
        if event["kind"] == COMPLETED:
            events[event["payload"]["turn_id"]].append(event)
            if event["counted"] != 1:
                yield f"I6 outbox event {event['id']} was counted {event['counted']} times"
    for entry in rows.ledger:
        if entry["kind"] == "turn" and len(events[entry["turn_id"]]) != 1:
            yield f"I6 turn {entry['turn_id']} has {len(events[entry['turn_id']])} outbox events"
    for (tenant_id, name), lacking in rows.drift().items():
        if lacking != before.get((tenant_id, name), 0):
            yield f"I6 tenant {tenant_id}: the daily sum of {name} lacks {lacking} of the ledger"
