"""Commits how turns end, once each, and reads ended turns back for replay."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from actors.live_turn import Event
from configs.tables import ModelTable
from domain.budget import BudgetNotice
from domain.caching.scope import match_of
from domain.conversation import Citation, TurnState
from domain.errors import StaleEpoch, Unavailable
from domain.events import EventKind
from domain.guarding.report import GuardReport
from domain.ids import MessageId, SessionId, TenantId, TurnId
from domain.metering import Tally, UseKind
from domain.trace import TraceDetail, TurnTrace
from domain.turn import AnswerEnded, TurnInput
from storage.postgres.budget_notices import BudgetNotices
from storage.postgres.database import Database, Transaction, tenant_tx
from storage.postgres.ended_turns import EndedTurn, ended_turn
from storage.postgres.ledger import Ledger
from storage.postgres.outbox import Outbox
from storage.postgres.reviews import Reviews
from storage.postgres.traces import Traces
from storage.postgres.turns import Turns

log = structlog.get_logger()

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class TurnBooks:
    """What a turn leaves in the books beside its answer."""

    tally: Tally = field(default_factory=Tally)
    notices: Sequence[BudgetNotice] = ()
    trace: TurnTrace = field(default_factory=TurnTrace)


class TurnRecord:
    def __init__(self, db: Database, table: ModelTable) -> None:
        self._db = db
        self.table = table

    async def complete(
        self,
        turn: TurnInput,
        session_id: SessionId,
        epoch: int,
        message_id: MessageId,
        ended: AnswerEnded,
        books: TurnBooks,
    ) -> None:
        """One transaction: the turn's state, the answer, its citations, the ledger row and the outbox event.

        Goes on trying while the database is away. Raises StaleEpoch when another host has taken the tenant.
        """
        tenant_id, usage, cost = turn.tenant_id, books.tally.usage, books.tally.cost_micro

        async def commit() -> None:
            async with tenant_tx(self._db, turn.tenant_id) as tx:
                turns = Turns(tx, turn.tenant_id)
                await turns.add_answer(turn.turn_id, session_id, message_id, ended.answer, ended.citations)
                ledger = Ledger(tx)
                await ledger.record(tenant_id, turn.turn_id, turn.chatbot_id, session_id, ended.model, books.tally)
                await self._book(tx, turn, books)
                await Outbox(tx).append(
                    turn.tenant_id,
                    EventKind.MESSAGE_COMPLETED,
                    f"session:{session_id}",
                    {
                        "turn_id": str(turn.turn_id),
                        "message_id": str(message_id),
                        "session_id": str(session_id),
                        "chatbot_id": str(turn.chatbot_id),
                        "state": ended.state.value,
                        "model": ended.model,
                        "prompt_tokens": usage.prompt_tokens,
                        "completion_tokens": usage.completion_tokens,
                        "embedded_tokens": usage.embedded_tokens,
                        "cost_micro": cost,
                    },
                )
                await Reviews(tx, turn.tenant_id).record(turn.turn_id, ended.guard, message_id)
                await turns.end(turn.turn_id, epoch, ended.state, model=ended.model, plan_reason=ended.plan_reason)

        async def stored() -> bool:
            return (await self._ended(turn.tenant_id, session_id, turn.turn_id)).message_id == message_id

        await _persist(commit, stored)

    async def fail(
        self,
        turn: TurnInput,
        session_id: SessionId,
        epoch: int,
        state: TurnState,
        code: str,
        report: GuardReport | None = None,
        books: TurnBooks | None = None,
    ) -> None:
        """Close a turn that has no answer, with what it used. As persistent as `complete`, and raises the same."""

        async def commit() -> None:
            async with tenant_tx(self._db, turn.tenant_id) as tx:
                if report is not None:
                    await Reviews(tx, turn.tenant_id).record(turn.turn_id, report)
                if books is not None:
                    place = turn.tenant_id, turn.chatbot_id, UseKind.FAILED_TURN, books.tally
                    await Ledger(tx).record_beside(*place, turn_id=turn.turn_id, session_id=session_id)
                    await self._book(tx, turn, books)
                await Turns(tx, turn.tenant_id).end(turn.turn_id, epoch, state, error_code=code)

        async def stored() -> bool:
            ended = await self._ended(turn.tenant_id, session_id, turn.turn_id)
            return (ended.epoch, ended.state) == (epoch, state)

        await _persist(commit, stored)

    async def _book(self, tx: Transaction, turn: TurnInput, books: TurnBooks) -> None:
        """What every turn leaves, however it ended."""
        for notice in books.notices:
            await BudgetNotices(tx).add(turn.tenant_id, notice)
        config = turn.config
        if config.traces is not TraceDetail.OFF:
            record = books.trace.record(config.traces, books.tally.calls)
            await Traces(tx, turn.tenant_id).add(turn.turn_id, record, config.trace_days)

    async def replay(self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId, after: int) -> list[Event]:
        """The rest of an ended turn, rebuilt from storage. Raises NotFound, and Unavailable for one without an end.

        A reader that has some events (`after` > 0) gets a `gap` with the whole answer, because how it was cut into
        events is not stored.
        """
        stored = await self._ended(tenant_id, session_id, turn_id)
        if not stored.state.ended:
            raise Unavailable("The answer is being recovered; try again.", retry_after=1)
        turn = {"turn": str(turn_id), "epoch": stored.epoch}
        if stored.message_id is None:
            code = stored.error_code or "interrupted"
            message = "This question has no answer; ask again."
            return [{"k": "error", **turn, "seq": after + 1, "code": code, "message": message}]
        kind = "gap" if after else "token"
        events: list[Event] = [{"k": kind, **turn, "seq": after + 1, "text": stored.answer}]
        if stored.citations:
            citations = [citation_fields(citation) for citation in stored.citations]
            events.append({"k": "citations", **turn, "seq": after + 2, "citations": citations})
        events.append({"k": "done", **turn, "seq": after + len(events) + 1, **_done_fields(stored)})
        return events

    async def epoch_of(self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId) -> int:
        """The epoch that ran a turn last. Raises NotFound."""
        return (await self._ended(tenant_id, session_id, turn_id)).epoch

    async def _ended(self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId) -> EndedTurn:
        async with tenant_tx(self._db, tenant_id) as tx:
            return await ended_turn(tx, tenant_id, session_id, turn_id)


async def _persist(commit: Callable[[], Awaitable[None]], stored: Callable[[], Awaitable[bool]]) -> None:
    """Try until the commit is known to have happened, however long the database is away. Raises StaleEpoch."""
    pause, in_doubt = FIRST_PAUSE_SECONDS, False
    while True:
        try:
            await commit()
            return
        except Unavailable:
            # The commit may have reached the server before the connection broke: the next try finds out.
            in_doubt = True
        except StaleEpoch:
            if not in_doubt:
                raise
            try:
                if await stored():
                    return
                raise
            except Unavailable:
                pass
        log.warning("commit.waiting", seconds=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _done_fields(stored: EndedTurn) -> dict[str, object]:
    """The fields of a `done` event of a stored turn."""
    usage = stored.usage
    return {
        "message_id": str(stored.message_id),
        "state": stored.state.value,
        "model": stored.model,
        "guard": stored.guard,
        "cached": match_of(stored.plan_reason),
        "usage": [usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens],
    }


def citation_fields(citation: Citation) -> dict[str, object]:
    """A citation as plain data for the stream."""
    return {
        "position": citation.position,
        "document_id": str(citation.document_id),
        "document_name": citation.document_name,
        "page": citation.page,
        "section": citation.section,
        "start": citation.start,
        "end": citation.end,
        "snippet": citation.snippet,
    }
