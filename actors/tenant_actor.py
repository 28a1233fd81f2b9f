"""The live object of one tenant: admits turns, keeps the budget, runs one turn per session, commits the outcome."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import structlog

from actors.live_turn import Event, LiveTurn
from actors.turn_record import TurnRecord, citation_fields
from domain.conversation import TurnState
from domain.errors import (
    AppError,
    EngineFailed,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    RateLimited,
    StaleEpoch,
    TurnRunning,
)
from domain.ids import MessageId, SessionId, TenantId, TurnId, new_uuid
from domain.plans import Plan
from domain.turn import AnswerEnded, AnswerText, StageReached, StopSignal, TurnInput, TurnPorts, run_turn
from storage.postgres.database import Database, tenant_tx
from storage.postgres.ledger import Ledger
from storage.postgres.turns import SessionContext, Turns

log = structlog.get_logger()

REPLAY_SECONDS = 60.0
"""How long an ended turn stays in memory for readers that come back."""

PortsOf = Callable[[str, Callable[[int], None]], TurnPorts]
"""Makes the ports of a turn from the model's key and the budget's `reserve`."""


@dataclass(slots=True)
class _Running:
    live: LiveTurn
    stop: StopSignal
    task: asyncio.Task[None] | None = None
    reserved: int = 0
    streaming: bool = False
    """True while a stop can still change the outcome."""


class TenantActor:
    """A cache over PostgreSQL with an epoch: once another host claims the tenant, nothing here can commit."""

    def __init__(
        self,
        tenant_id: TenantId,
        epoch: int,
        used_tokens: int,
        db: Database,
        plans: dict[str, Plan],
        ports_of: PortsOf,
        record: TurnRecord,
        resolve_model: Callable[[str], str],
        turn_timeout: float,
    ) -> None:
        self.tenant_id = tenant_id
        self.epoch = epoch
        self.last_used = time.monotonic()
        self._db = db
        self._plans = plans
        self._ports_of = ports_of
        self._record = record
        self._resolve_model = resolve_model
        self._turn_timeout = turn_timeout
        self._used = used_tokens
        self._month = time.gmtime()[:2]
        self._running: dict[SessionId, _Running] = {}
        self._recent: dict[TurnId, LiveTurn] = {}
        self._locks: WeakValueDictionary[SessionId, asyncio.Lock] = WeakValueDictionary()

    @property
    def busy(self) -> bool:
        return bool(self._running) or bool(self._locks)

    async def open_session(self, session_id: SessionId) -> dict[str, Any]:
        """What a socket needs to say `ready`. Raises NotFound."""
        self.last_used = time.monotonic()
        async with tenant_tx(self._db, self.tenant_id) as tx:
            turns = Turns(tx, self.tenant_id)
            context = await turns.session_context(session_id)
            plan = self._plan(await turns.plan_key())
        running = self._running.get(session_id)
        return {
            "chatbot_id": str(context.chatbot_id),
            "chatbot_name": context.chatbot_name,
            "greeting": context.config.greeting,
            "active_turn": {"turn_id": str(running.live.turn_id), "seq": running.live.seq} if running else None,
            "max_connections": plan.limits.max_connections,
        }

    async def submit(self, session_id: SessionId, client_id: str, text: str) -> AsyncGenerator[Event, None]:
        """Commit the question, then stream: ack first, then the turn's events. A resend streams the first turn.

        Raises NotFound, TurnRunning, QuotaExceeded, RateLimited, StaleEpoch (nothing was stored).
        """
        self.last_used = time.monotonic()
        lock = self._locks.setdefault(session_id, asyncio.Lock())

        async def admit() -> tuple[TurnId, MessageId, bool]:
            async with lock:
                return await self._admit(session_id, client_id, text)

        # A caller that leaves between the commit and the start must not leave a turn that nobody runs.
        turn_id, message_id, duplicate = await asyncio.shield(asyncio.create_task(admit()))
        yield {
            "k": "ack",
            "turn": str(turn_id),
            "seq": 0,
            "message_id": str(message_id),
            "client_id": client_id,
            "duplicate": duplicate,
        }
        async for event in self.follow(session_id, turn_id, 0):
            yield event

    async def follow(self, session_id: SessionId, turn_id: TurnId, after: int) -> AsyncGenerator[Event, None]:
        """A turn's events after `after`, live or from storage. Raises NotFound, or InvalidInput for a seq to come."""
        after = max(after, 0)
        self.last_used = time.monotonic()
        live = self._recent.get(turn_id)
        if live is None:
            live = await self._record.replay(self.tenant_id, session_id, turn_id, after)
        elif live.session_id != session_id:
            raise NotFound("There is no such turn.")
        if after > live.seq:
            raise InvalidInput("The turn has no event of that number yet.")
        async for event in live.follow(after):
            yield event

    async def stop(self, session_id: SessionId, turn_id: TurnId | None) -> bool:
        """End the session's running turn (or `turn_id` only); False when none runs."""
        running = self._running.get(session_id)
        if running is None or turn_id not in (None, running.live.turn_id):
            return False
        if running.task is None or not running.streaming:
            return False
        if not running.stop.requested:
            running.stop.requested = True
            running.task.cancel()
        return True

    async def close(self) -> None:
        """Cancel what runs; the turns stay open in storage until the next epoch closes them."""
        tasks = [running.task for running in self._running.values() if running.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _admit(self, session_id: SessionId, client_id: str, text: str) -> tuple[TurnId, MessageId, bool]:
        """Under the session's lock: find the turn of this client id or store a new one and start it."""
        turn_id, message_id = TurnId(new_uuid()), MessageId(new_uuid())
        async with tenant_tx(self._db, self.tenant_id) as tx:
            turns = Turns(tx, self.tenant_id)
            await turns.require_epoch(self.epoch)
            context = await turns.session_context(session_id)
            known = await turns.find(session_id, client_id)
            if known is not None:
                return known.id, known.message_id, True
            if session_id in self._running:
                raise TurnRunning
            plan = self._plan(await turns.plan_key())
            if len(self._running) >= plan.limits.max_concurrent_turns:
                raise RateLimited("Too many answers are being written at once; try again shortly.", retry_after=2)
            await self._roll_month(tx)
            plan.allow_tokens(self._used + self._reserved, 1)
            history = await turns.recent_messages(session_id)
            model = self._resolve_model(context.config.model)
            await turns.accept(context, turn_id, message_id, client_id, text, self.epoch)
        self._start(
            TurnInput(turn_id, self.tenant_id, context.chatbot_id, context.config, model, text, history), context, plan
        )
        return turn_id, message_id, False

    def _start(self, turn: TurnInput, context: SessionContext, plan: Plan) -> None:
        running = _Running(LiveTurn(turn.turn_id, context.session_id), StopSignal())

        def reserve(tokens: int) -> None:
            plan.allow_tokens(self._used + self._reserved, tokens)
            running.reserved += tokens

        self._running[context.session_id] = running
        self._recent[turn.turn_id] = running.live
        running.task = asyncio.create_task(self._run(turn, context, running, reserve))

    async def _run(
        self, turn: TurnInput, context: SessionContext, running: _Running, reserve: Callable[[int], None]
    ) -> None:
        """Drive the turn to its end; whatever happens, followers get a last event and the session is free again."""
        live = running.live
        logger = log.bind(tenant=str(self.tenant_id), session=str(context.session_id), turn=str(turn.turn_id))
        try:
            ended = await self._stream(turn, running, self._ports_of(turn.model, reserve))
            message_id = MessageId(new_uuid())
            await self._record.complete(turn, context, self.epoch, message_id, ended)
            self._used += ended.usage.total_tokens
            if ended.citations:
                live.publish("citations", citations=[citation_fields(c) for c in ended.citations])
            usage = [ended.usage.prompt_tokens, ended.usage.completion_tokens, ended.usage.cached_tokens]
            live.end("done", message_id=str(message_id), state=ended.state.value, model=ended.model, usage=usage)
            logger.info("turn.ended", state=ended.state.value, tokens=ended.usage.total_tokens)
        except asyncio.CancelledError:
            live.end("error", code="interrupted", message="The answer was interrupted; ask again.")
        except AppError as error:
            logger.warning("turn.failed", code=error.code, cause=repr(error.__cause__))
            await self._fail(turn, error.code)
            live.end("error", code=error.code, message=error.message)
        except Exception:
            logger.exception("turn.failed", code=AppError.code)
            await self._fail(turn, AppError.code)
            live.end("error", code=AppError.code, message=AppError.default)
        finally:
            self._running.pop(context.session_id, None)
            asyncio.get_running_loop().call_later(REPLAY_SECONDS, self._recent.pop, turn.turn_id, None)

    async def _stream(self, turn: TurnInput, running: _Running, ports: TurnPorts) -> AnswerEnded:
        """Publish the turn's events; between two events nothing is awaited, so that a stop lands inside the turn."""
        ended: AnswerEnded | None = None
        running.streaming = True
        try:
            async with asyncio.timeout(self._turn_timeout):
                async for event in run_turn(turn, ports, running.stop):
                    if isinstance(event, AnswerText):
                        running.live.publish("token", text=event.text)
                    elif isinstance(event, StageReached):
                        running.live.publish("status", stage=event.stage)
                    else:
                        ended = event
                        running.streaming = False
        except TimeoutError as error:
            raise EngineFailed("The answer took too long; try again.") from error
        finally:
            running.streaming = False
        assert ended is not None
        return ended

    async def _fail(self, turn: TurnInput, code: str) -> None:
        try:
            await self._record.fail(turn, self.epoch, TurnState.FAILED, code)
        except StaleEpoch:
            log.info("turn.stale", turn=str(turn.turn_id))

    async def _roll_month(self, tx: Any) -> None:
        """Count afresh when the month has changed."""
        month = time.gmtime()[:2]
        if month != self._month:
            self._used, self._month = await Ledger(tx).tokens_this_month(self.tenant_id), month

    @property
    def _reserved(self) -> int:
        return sum(running.reserved for running in self._running.values())

    def _plan(self, key: str) -> Plan:
        if key not in self._plans:
            raise QuotaExceeded("The plan of this account is not known; contact support.")
        return self._plans[key]
