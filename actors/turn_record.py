"""Commits how turns end, once each, and reads ended turns back for replay."""

import asyncio
from collections.abc import Awaitable, Callable

from actors.live_turn import LiveTurn
from configs.tables import ModelTable
from domain.conversation import Citation, TurnState
from domain.errors import StaleEpoch, Unavailable
from domain.events import EventKind
from domain.ids import MessageId, SessionId, TenantId, TurnId
from domain.turn import AnswerEnded, TurnInput
from storage.postgres.database import Database, tenant_tx
from storage.postgres.ledger import Ledger
from storage.postgres.outbox import Outbox
from storage.postgres.turns import EndedTurn, SessionContext, Turns

RETRY_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0)


class TurnRecord:
    def __init__(self, db: Database, table: ModelTable) -> None:
        self._db = db
        self._table = table

    async def complete(
        self, turn: TurnInput, context: SessionContext, epoch: int, message_id: MessageId, ended: AnswerEnded
    ) -> None:
        """One transaction: the turn's state, the answer, its citations, the ledger row and the outbox event.

        Retried while the database is away. Raises StaleEpoch when another host has taken the tenant.
        """
        spec = self._table.models.get(ended.model)
        cost = spec.cost_micro(ended.usage.prompt_tokens, ended.usage.completion_tokens) if spec else 0

        async def commit() -> None:
            async with tenant_tx(self._db, turn.tenant_id) as tx:
                turns = Turns(tx, turn.tenant_id)
                await turns.require_epoch(epoch)
                await turns.end(turn.turn_id, epoch, ended.state, model=ended.model, plan_reason=ended.plan_reason)
                await turns.add_answer(turn.turn_id, context.session_id, message_id, ended.answer, ended.citations)
                await Ledger(tx).record(
                    turn.tenant_id,
                    turn.turn_id,
                    turn.chatbot_id,
                    context.session_id,
                    ended.model,
                    ended.usage,
                    cost,
                )
                await Outbox(tx).append(
                    turn.tenant_id,
                    EventKind.MESSAGE_COMPLETED,
                    f"session:{context.session_id}",
                    {
                        "turn_id": str(turn.turn_id),
                        "message_id": str(message_id),
                        "session_id": str(context.session_id),
                        "chatbot_id": str(turn.chatbot_id),
                        "state": ended.state.value,
                        "model": ended.model,
                        "prompt_tokens": ended.usage.prompt_tokens,
                        "completion_tokens": ended.usage.completion_tokens,
                        "cost_micro": cost,
                    },
                )

        await self._persist(commit, turn, context.session_id, message_id)

    async def fail(self, turn: TurnInput, epoch: int, state: TurnState, code: str) -> None:
        """Close a turn that has no answer; when the database stays away the next epoch closes it."""
        for pause in RETRY_SECONDS:
            try:
                async with tenant_tx(self._db, turn.tenant_id) as tx:
                    await Turns(tx, turn.tenant_id).end(turn.turn_id, epoch, state, error_code=code)
                return
            except Unavailable:
                await asyncio.sleep(pause)

    async def replay(self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId, after: int) -> LiveTurn:
        """The events of a turn that is not in memory, rebuilt from storage. Raises NotFound.

        A reader that has some events (`after` > 0) gets a `gap` with the whole answer, because how it was cut into
        events is not stored.
        """
        async with tenant_tx(self._db, tenant_id) as tx:
            stored = await Turns(tx, tenant_id).ended(session_id, turn_id)
        live = LiveTurn(turn_id, session_id, first=after + 1)
        if stored.message_id is None:
            code = stored.error_code or "interrupted"
            live.end("error", code=code, message="This question has no answer; ask again.")
            return live
        live.publish("gap" if after else "token", text=stored.answer)
        if stored.citations:
            live.publish("citations", citations=[citation_fields(citation) for citation in stored.citations])
        live.end("done", **done_fields(stored))
        return live

    async def _persist(
        self, commit: Callable[[], Awaitable[None]], turn: TurnInput, session_id: SessionId, message_id: MessageId
    ) -> None:
        for attempt, pause in enumerate((*RETRY_SECONDS, None)):
            try:
                await commit()
                return
            except Unavailable:
                # The commit may have reached the server before the connection broke: the next try finds out.
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            except StaleEpoch:
                if attempt and await self._is_stored(turn, session_id, message_id):
                    return
                raise

    async def _is_stored(self, turn: TurnInput, session_id: SessionId, message_id: MessageId) -> bool:
        async with tenant_tx(self._db, turn.tenant_id) as tx:
            stored = await Turns(tx, turn.tenant_id).ended(session_id, turn.turn_id)
        return stored.message_id == message_id


def done_fields(stored: EndedTurn) -> dict[str, object]:
    """The fields of a `done` event of a stored turn."""
    usage = stored.usage
    return {
        "message_id": str(stored.message_id),
        "state": stored.state.value,
        "model": stored.model,
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
