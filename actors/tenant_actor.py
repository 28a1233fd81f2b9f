"""The live object of one tenant: admits turns, keeps the budget, runs one turn per session, takes over open ones."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from weakref import WeakValueDictionary

import structlog

from actors.allowance import Allowance
from actors.answer_keeping import kept_answers_for
from actors.fair_share import Share, Ticket
from actors.host_parts import HostParts
from actors.live_turn import Event, LiveTurn
from actors.lost_calls import bill_lost
from actors.orphan import outcome_of
from actors.running_turn import RunningTurn
from domain.budget import MonthSpent
from domain.conversation import Question, TurnState
from domain.errors import AppError, NotFound, TurnRunning, Unavailable
from domain.ids import MessageId, SessionId, TenantId, TurnId, new_uuid
from storage.postgres.database import tenant_tx
from storage.postgres.messages import Messages
from storage.postgres.stored_turn import Accepted, StoredTurn
from storage.postgres.tenant_keys import keys_of
from storage.postgres.turns import Turns

log = structlog.get_logger()

REPLAY_SECONDS = 60.0
"""How long an ended turn stays in memory for readers that come back."""
ADMIT_PAUSES = (0.1, 0.3, 1.0, 2.0, 4.0)
"""Between the tries to store a question while the database is away."""


class TenantActor:
    """A cache over PostgreSQL with an epoch: once another host claims the tenant, nothing here can commit."""

    def __init__(self, parts: HostParts, tenant_id: TenantId, epoch: int, plan_key: str, spent: MonthSpent) -> None:
        self.tenant_id = tenant_id
        self.epoch = epoch
        self.last_used = time.monotonic()
        self._parts = parts
        self._db = parts.tools.db
        self.allowance = Allowance(parts.tools.db, tenant_id, epoch, parts.plans, plan_key, spent)
        self._running: dict[SessionId, RunningTurn] = {}
        self._recent: dict[TurnId, LiveTurn] = {}
        self._locks: WeakValueDictionary[SessionId, asyncio.Lock] = WeakValueDictionary()

    @property
    def busy(self) -> bool:
        return bool(self._running) or bool(self._locks) or self.allowance.grants > 0

    async def open_session(self, session_id: SessionId) -> dict[str, Any]:
        """What a socket needs to say `ready`. Raises NotFound."""
        self.last_used = time.monotonic()
        async with tenant_tx(self._db, self.tenant_id) as tx:
            info = await Turns(tx, self.tenant_id).open_session(session_id)
            undelivered = await Messages(tx).undelivered(self.tenant_id, session_id)
        self.allowance.follow(info.plan)
        live = self._running[session_id].live if session_id in self._running else None
        return {
            "chatbot_id": str(info.chatbot_id),
            "chatbot_name": info.chatbot_name,
            "greeting": info.config.greeting,
            "visitor_id": info.visitor_id,
            "consent": info.needed_consent,
            "active_turn": {"turn_id": str(live.turn_id), "epoch": live.epoch, "seq": live.seq} if live else None,
            "undelivered": [{"turn_id": str(turn), "message_id": str(message)} for turn, message in undelivered],
            "max_connections": self.allowance.plan.limits.max_connections,
        }

    async def submit(self, session_id: SessionId, question: Question) -> AsyncGenerator[Event, None]:
        """Commit the question, then stream: ack first, then the turn's events. A resend streams the first turn.

        Raises NotFound, TurnRunning, SessionClosed, QuotaExceeded, RateLimited, StaleEpoch (nothing was stored).
        """
        self.last_used = time.monotonic()
        # A caller that leaves between the commit and the start must not leave a turn that nobody runs.
        accepted = await asyncio.shield(asyncio.create_task(self._admit(session_id, question)))
        yield {
            "k": "ack",
            "turn": str(accepted.turn_id),
            "epoch": self.epoch,
            "seq": 0,
            "message_id": str(accepted.message_id),
            "client_id": question.client_id,
            "duplicate": accepted.turn is None,
        }
        async for event in self.follow(session_id, accepted.turn_id, 0):
            yield event

    async def follow(
        self, session_id: SessionId, turn_id: TurnId, after: int, epoch: int | None = None
    ) -> AsyncGenerator[Event, None]:
        """A turn's events after `after`, live or from storage.

        Raises NotFound, InvalidInput for a seq to come, Unavailable for a turn that is still to be taken over.
        """
        self.last_used = time.monotonic()
        after = max(after, 0)
        live = self._recent.get(turn_id)
        if live is not None and live.session_id != session_id:
            raise NotFound("There is no such turn.")
        if live is None:
            live = await self._logged(session_id, turn_id)
        if live is not None:
            async for event in live.follow(after, epoch):
                yield event
            return
        for event in await self._parts.tools.record.replay(self.tenant_id, session_id, turn_id, after):
            yield event

    async def stop(self, session_id: SessionId, turn_id: TurnId | None) -> bool:
        """End the session's running turn (or `turn_id` only); False when none runs."""
        running = self._running.get(session_id)
        if running is None or turn_id not in (None, running.live.turn_id):
            return False
        return running.stop()

    async def recover(self) -> int:
        """Take over every open turn of the tenant that does not run here; how many. Calls beside turns that are lost
        are billed. Raises StaleEpoch."""
        async with tenant_tx(self._db, self.tenant_id) as tx:
            turns = await Turns(tx, self.tenant_id).open_turns()
            lost = await bill_lost(tx, self.tenant_id, self.epoch)
        for one in lost:
            self.allowance.spend(one.chatbot_id, one.call.usage.total_tokens, one.call.cost_micro, str(one.id))
        # At once: each asks Redis, and waits for its answer when it hangs.
        return sum(await asyncio.gather(*(self._adopt(turn) for turn in turns if turn.id not in self._recent)))

    def runs(self, turn_id: TurnId) -> bool:
        return turn_id in self._recent

    async def let_go(self, sessions: frozenset[SessionId] | None) -> int:
        """End what runs in these sessions, or in all, without storing it, and forget what was said; how many ran."""
        for lock in [lock for one, lock in self._locks.items() if sessions is None or one in sessions]:
            async with lock:
                pass  # a question that is just being stored starts its turn first
        running = [turn for one, turn in self._running.items() if sessions is None or one in sessions]
        await asyncio.gather(*(turn.close() for turn in running))
        await self._parts.summarizer.let_go(self.tenant_id, sessions)
        gone = [live for live in self._recent.values() if sessions is None or live.session_id in sessions]
        for live in gone:
            self._recent.pop(live.turn_id).abandon()
        await self._parts.replay.forget(gone)
        return len(running)

    async def close(self) -> None:
        """Cancel what runs; the turns stay open in storage for the next epoch."""
        await asyncio.gather(*(running.close() for running in list(self._running.values())))

    async def _logged(self, session_id: SessionId, turn_id: TurnId) -> LiveTurn | None:
        """An ended turn of another process as long as its events are kept. Raises NotFound."""
        epoch = await self._parts.tools.record.epoch_of(self.tenant_id, session_id, turn_id)
        events = await self._parts.replay.read(await keys_of(self._db, self.tenant_id), turn_id, epoch)
        if not events or events[-1]["k"] not in ("done", "error"):
            return None
        live = LiveTurn(self.tenant_id, turn_id, session_id, epoch, lambda _: None, events)
        live.ended = True
        return live

    async def _admit(self, session_id: SessionId, question: Question) -> Accepted:
        """Store and start, trying again while the database is away: the client's id makes that harmless."""
        lock = self._locks.setdefault(session_id, asyncio.Lock())
        for pause in ADMIT_PAUSES:
            try:
                async with lock:
                    accepted = await self._try_to_admit(session_id, question)
                break
            except Unavailable:
                await asyncio.sleep(pause)
        else:
            async with lock:
                accepted = await self._try_to_admit(session_id, question)
        if accepted.turn is None and accepted.is_open and accepted.turn_id not in self._recent:
            # Stored by a try whose answer was lost.
            await self.recover()
        return accepted

    async def _try_to_admit(self, session_id: SessionId, question: Question) -> Accepted:
        """Under the session's lock: find the turn of this client id, or store a new one and start it."""
        ticket: Ticket | None = None
        refusal: AppError | None = None
        try:
            if session_id in self._running:
                raise TurnRunning
            await self.allowance.allow()
            ticket = self._parts.share.enter(self.tenant_id, self._share)
        except Unavailable:
            raise
        except AppError as error:
            refusal = error
        state = None if ticket is None else TurnState.RUNNING if ticket.running else TurnState.ACCEPTED
        accepted: Accepted | None = None
        try:
            async with tenant_tx(self._db, self.tenant_id) as tx:
                ids = TurnId(new_uuid()), MessageId(new_uuid())
                accepted = await Turns(tx, self.tenant_id).accept(session_id, question, *ids, self.epoch, state)
        except BaseException:
            accepted = None
            raise
        finally:
            if ticket is not None and (accepted is None or accepted.turn is None):
                self._parts.share.leave(ticket)
        if accepted is None:
            assert refusal is not None
            raise refusal
        self.allowance.follow(accepted.plan)
        if accepted.turn is not None:
            assert ticket is not None
            self._start(accepted.turn, self._live(accepted.turn), ticket)
        return accepted

    async def _adopt(self, turn: StoredTurn) -> bool:
        """Run an open turn again, or close it with what was shown of it."""
        async with self._locks.setdefault(turn.session_id, asyncio.Lock()):
            if turn.id in self._recent:
                return False
            events = await self._parts.replay.read(turn.cipher, turn.id, turn.epoch)
            live = self._live(turn, events)
            # Before the turn is taken: whoever comes after this process looks for the events under its epoch.
            await self._parts.replay.keep(live)
            ticket = self._parts.share.enter(self.tenant_id, self._share, forced=True)
            taken = False
            try:
                async with tenant_tx(self._db, self.tenant_id) as tx:
                    state = TurnState.RUNNING if ticket.running else TurnState.ACCEPTED
                    taken = await Turns(tx, self.tenant_id).adopt(turn.id, self.epoch, state)
            finally:
                if not taken:
                    self._parts.share.leave(ticket)
            if taken:
                log.info("turn.taken_over", turn=str(turn.id), events=len(events), epoch=self.epoch)
                self._start(turn, live, ticket, events)
            return taken

    def _live(self, stored: StoredTurn, earlier: Sequence[Event] = ()) -> LiveTurn:
        return LiveTurn(
            self.tenant_id,
            stored.id,
            stored.session_id,
            self.epoch,
            self._parts.replay.save,
            earlier,
            stored.cipher,
        )

    def _start(
        self, stored: StoredTurn, live: LiveTurn, ticket: Ticket, earlier: Sequence[Event] | None = None
    ) -> None:
        """`earlier` are the events of the process that had the turn, None for a new turn."""
        parts = self._parts
        model = parts.resolve_model(stored.config.model)
        cache = kept_answers_for(self.tenant_id, stored, model)
        turn = stored.with_model(model, cache, self.allowance.plan.key)
        outcome = None if earlier is None else outcome_of(earlier, model, parts.restart_orphans and not stored.formed)
        running = RunningTurn(parts.tools, turn, live, ticket, self.allowance, stored.visitor_id)
        self._running[stored.session_id] = running
        self._recent[stored.id] = live

        def ended() -> None:
            parts.share.leave(ticket)
            if not live.ended:
                live.abandon()
            if self._running.get(stored.session_id) is running:
                del self._running[stored.session_id]
            about = turn, stored.session_id, stored.said, running.answer
            parts.summarizer.consider(*about, self.allowance, self.epoch)
            if live.abandoned:
                self._recent.pop(stored.id, None)
            else:
                asyncio.get_running_loop().call_later(REPLAY_SECONDS, self._recent.pop, stored.id, None)

        running.start(ended, outcome)
        parts.announce(live)

    @property
    def _share(self) -> Share:
        limits = self.allowance.plan.limits
        return Share(limits.weight, limits.max_concurrent_turns, limits.max_queued_turns)
