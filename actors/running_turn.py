"""One turn on its way: waits in the queue, runs, commits its end, and publishes all of it as numbered events."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from uuid import UUID

import structlog

from actors.allowance import Allowance
from actors.answer_keeping import AfterAnswer, keep_nothing
from actors.fair_share import Ticket
from actors.live_turn import LiveTurn
from actors.spans import TurnSpans
from actors.turn_meter import TurnMeter
from actors.turn_record import TurnBooks, TurnRecord, citation_fields
from domain.conversation import TurnState
from domain.errors import AppError, StaleEpoch
from domain.generation import Usage
from domain.guarding.report import GuardReport
from domain.ids import MessageId, new_uuid
from domain.metering import CallKind, Meter, ModelCall
from domain.trace import TurnTrace
from domain.turn import AnswerEnded, AnswerText, StageReached, StopSignal, TurnInput, TurnPorts, run_turn
from storage.postgres.database import Database, tenant_tx
from storage.postgres.ledger import Ledger
from storage.postgres.turns import Turns

log = structlog.get_logger()

PortsOf = Callable[[str, Meter, TurnTrace], TurnPorts]
"""Makes the ports of a turn from the model's key, and what meters and traces it."""


@dataclass(frozen=True, slots=True)
class TurnTools:
    """What the turns of a process share."""

    db: Database
    record: TurnRecord
    ports_of: PortsOf
    timeout_seconds: float
    spans: TurnSpans | None = None
    """Where ended turns are exported to."""
    after_answer: AfterAnswer = keep_nothing


class RunningTurn:
    def __init__(
        self,
        tools: TurnTools,
        turn: TurnInput,
        live: LiveTurn,
        ticket: Ticket,
        allowance: Allowance,
        visitor_id: UUID | None = None,
    ) -> None:
        self.live = live
        self.ticket = ticket
        self.answer = ""
        """Once it is stored."""
        self._tools = tools
        self._turn = turn
        self._budget = allowance.budget
        self._visitor_id = visitor_id
        self._meter = TurnMeter(allowance.budget, allowance.plan, turn.chatbot_id, tools.record.table, model=turn.model)
        self._trace = TurnTrace()
        self._stop = StopSignal()
        self._may_stop = True
        """While a stop can still change the outcome."""
        self._begun = False
        """Whether the task has had its first step: a cancellation before it would end the turn without a word."""
        self._started = asyncio.Event()
        self._report = GuardReport()
        self._task: asyncio.Task[None] | None = None

    def start(self, ended: Callable[[], None], outcome: AnswerEnded | AppError | None = None) -> None:
        """Go on in a task of its own, or only commit an `outcome` that is known; `ended` is called at the end."""
        self._may_stop = outcome is None
        self.ticket.on_move(self._moved)
        self._moved()
        self._task = asyncio.create_task(self._run(outcome))
        self._task.add_done_callback(lambda _: ended())

    def stop(self, state: TurnState = TurnState.STOPPED) -> bool:
        """End it in `state` with what it has; False when it is at its end already."""
        if self._task is None or not self._may_stop:
            return False
        if self._stop.state is None:
            self._stop.state = state
            if self._begun:
                self._task.cancel()
        return True

    async def close(self) -> None:
        """Leave it as it is, open in storage, for the process that takes over."""
        if self._task is not None:
            self._stop.state = None
            self._task.cancel()
            await asyncio.wait((self._task,))

    def _moved(self) -> None:
        if self.ticket.running:
            self._started.set()
        else:
            self.live.publish("status", stage="queued", position=self.ticket.position)

    async def _run(self, outcome: AnswerEnded | AppError | None) -> None:
        """Whatever happens, followers get a last event, or the end of the stream when this process lets go of it."""
        turn, live, record = self._turn, self.live, self._tools.record
        logger = log.bind(tenant=str(turn.tenant_id), session=str(live.session_id), turn=str(turn.turn_id))
        self._begun = True
        try:
            try:
                if isinstance(outcome, AppError):
                    raise outcome
                if outcome is not None:
                    self._meter.record(ModelCall(CallKind.ANSWER, "", outcome.model, outcome.usage))
                ended = outcome or await self._answer()
                message_id = MessageId(new_uuid())
                books = self._books()
                await record.complete(turn, live.session_id, live.epoch, message_id, ended, books)
                self.answer = ended.answer
                self._meter.settle(True, books.notices)
                self._export(ended.state.value, ended.model)
            except StaleEpoch:
                raise
            except AppError as error:
                logger.warning("turn.failed", code=error.code, cause=repr(error.__cause__))
                await self._fail(error)
                return
            except Exception:
                logger.exception("turn.failed", code=AppError.code)
                await self._fail(AppError())
                return
            if ended.citations:
                live.publish("citations", citations=[citation_fields(citation) for citation in ended.citations])
            usage = [ended.usage.prompt_tokens, ended.usage.completion_tokens, ended.usage.cached_tokens]
            verdict = ended.guard.verdict
            done = {"message_id": str(message_id), "state": ended.state.value, "model": ended.model, "guard": verdict}
            live.end("done", **done, usage=usage, cached=ended.cached)
            self._tools.after_answer(turn, live.session_id, ended)
            logger.info("turn.ended", state=ended.state.value, tokens=ended.usage.total_tokens, guard=verdict)
        except StaleEpoch:
            logger.info("turn.stale")
            live.abandon()
        except asyncio.CancelledError:
            live.abandon()
        finally:
            self._meter.settle(False)
            for note in self._report.notes:
                if note.failure:
                    logger.warning("guard.failed", **asdict(note))

    async def _answer(self) -> AnswerEnded:
        """Wait for the turn's place, then publish its events; between two events nothing is awaited, so that a stop
        lands inside the turn."""
        try:
            await self._await_place()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._stop.state is None or task is None:
                raise
            task.uncancel()
        if self._stop.state is not None:
            self._may_stop = False
            return AnswerEnded(self._stop.state, "", (), self._turn.model, Usage(), "stopped before it began")
        deadline = asyncio.get_running_loop().call_later(self._tools.timeout_seconds, self.stop, TurnState.INTERRUPTED)
        ended: AnswerEnded | None = None
        try:
            ports = self._tools.ports_of(self._turn.model, self._meter, self._trace)
            async for event in run_turn(self._turn, ports, self._stop, self._report):
                if isinstance(event, AnswerText):
                    self.live.publish("token", text=event.text, n=event.tokens)
                elif isinstance(event, StageReached):
                    self.live.publish("status", stage=event.stage, prompt=event.prompt_tokens, position=event.position)
                else:
                    ended = event
                    self._may_stop = False
        finally:
            self._may_stop = False
            deadline.cancel()
        assert ended is not None
        return ended

    def _export(self, state: str, model: str) -> None:
        if self._tools.spans is not None:
            place = self._turn, self.live.session_id
            self._tools.spans.export(*place, state, model, self._trace, self._meter.tally)

    def _books(self) -> TurnBooks:
        return TurnBooks(self._meter.tally, self._meter.notices(), self._trace)

    async def _await_place(self) -> None:
        """And find out what the turn must stay within."""
        budget, visitor = self._turn.config.budget, None
        if self._visitor_id is not None and budget.visitor_daily_tokens is not None:
            visitor = await self._budget.visitor(self._visitor_id, self._visitor_tokens)
        self._meter.open(budget, visitor)
        if self._started.is_set():
            return
        await self._started.wait()
        async with tenant_tx(self._tools.db, self._turn.tenant_id) as tx:
            await Turns(tx, self._turn.tenant_id).begin(self._turn.turn_id, self.live.epoch)

    async def _visitor_tokens(self) -> int:
        assert self._visitor_id is not None
        async with tenant_tx(self._tools.db, self._turn.tenant_id) as tx:
            return await Ledger(tx).visitor_tokens_today(self._turn.tenant_id, self._visitor_id)

    async def _fail(self, error: AppError) -> None:
        """Raises StaleEpoch."""
        live = self.live
        books = self._books()
        await self._tools.record.fail(
            self._turn, live.session_id, live.epoch, TurnState.FAILED, error.code, self._report, books
        )
        self._meter.settle(True, books.notices)
        self._export(TurnState.FAILED.value, self._meter.tally.model)
        live.end("error", code=error.code, message=error.message)
