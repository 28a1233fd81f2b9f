"""Evaluates a configuration on a question set: asks one question after the other, scores it, and stores what came."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from domain.chatbot import ChatbotConfig
from domain.conversation import TurnState
from domain.documents import Passage
from domain.errors import AppError, EngineFailed, InvalidInput, QuotaExceeded, RateLimited, Unavailable, Unreadable
from domain.evaluation import Outcome, result_of, summary_of
from domain.evaluation_run import Evaluation, Mode
from domain.generation import PromptMessage, Usage
from domain.ids import SessionId, TenantId, TurnId, new_uuid
from domain.knowledge import FIRST
from domain.metering import Meter, ModelCall, Tally
from domain.plans import Plan
from domain.ports import Retriever
from domain.question_set import MAX_QUESTIONS, QuestionSpec, StoredQuestion, words
from domain.retrieval.result import Retrieval, RetrievalRequest
from domain.turn import AnswerEnded, StopSignal, TurnInput, TurnPorts, run_turn
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Database, tenant_tx
from storage.postgres.evaluations import Claim, Evaluations
from storage.postgres.ledger import Ledger
from storage.postgres.question_sets import QuestionSets
from storage.postgres.turns import Turns

log = structlog.get_logger()

WATCH_SECONDS = 1.0
"""How soon a cancelled evaluation ends."""
TRY_AGAIN_SECONDS = (1.0, 4.0, 15.0)
"""Between the tries of a question for which no engine, or no embedder, was there."""
TOO_LONG = "The answer took too long."
SET_GONE = "The question set was deleted."
NO_ANSWER_REASONS = ("no relevant passage", "refused: ")
"""How `plan_reason` of a turn begins that said no more than that."""


@dataclass(frozen=True, slots=True)
class EvaluationPorts:
    """What an evaluation works with; the process that runs it opens and closes them."""

    retriever: Retriever
    turn_ports: Callable[[str, Retriever, Meter], TurnPorts]
    """Of a turn: from the model's key, the retriever, and what meters it."""
    resolve_model: Callable[[str], str]
    """Raises InvalidInput for a model that is not there."""
    priced: Callable[[ModelCall], ModelCall]
    """The same call with its cost."""
    plans: Mapping[str, Plan]
    spent: Callable[[TenantId, int], Awaitable[None]]
    """Tells the tenant's live actor what tokens went, so that its budget knows."""
    turn_seconds: float


class _Given(Exception):
    """The evaluation cannot go on; the message is a sentence for the user."""


async def evaluate(db: Database, claim: Claim, ports: EvaluationPorts) -> None:
    """Ask the questions that have no result yet, and end the evaluation in the database: completed, or failed with a
    reason. It ends quietly when nobody wants it any more.

    Raises Unavailable and whatever else cuts it off: it can be claimed again, and goes on where it was.
    """
    run = _Run(db, claim, ports)
    work = asyncio.create_task(run.work())
    try:
        while not (await asyncio.wait((work,), timeout=WATCH_SECONDS))[0]:
            with suppress(Unavailable):
                async with tenant_tx(db, claim.tenant_id) as tx:
                    wanted = await Evaluations(tx).is_mine(claim)
                if not wanted:
                    run.stop(work)
                    break
        await asyncio.wait((work,))
        if not work.cancelled():
            work.result()
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


class _Recording:
    """Retriever that remembers what it found, and how long that took."""

    def __init__(self, inner: Retriever) -> None:
        self._inner = inner
        self.passages: tuple[Passage, ...] = ()
        self.milliseconds = 0

    async def retrieve(self, request: RetrievalRequest) -> Retrieval:
        began = time.perf_counter()
        found = await self._inner.retrieve(request)
        self.passages, self.milliseconds = tuple(found.passages), _milliseconds(began)
        return found


class _Run:
    def __init__(self, db: Database, claim: Claim, ports: EvaluationPorts) -> None:
        self._db = db
        self._claim = claim
        self._ports = ports
        self._stop = StopSignal()
        """Of the answer that is being written."""
        self._unwanted = False
        self._knowledge = FIRST

    def stop(self, work: "asyncio.Task[None]") -> None:
        """End the task; an answer that is being written is metered with what it has used."""
        self._unwanted = True
        self._cut(work, TurnState.STOPPED)

    def _cut(self, work: "asyncio.Task[None] | None", state: TurnState) -> None:
        if self._stop.state is None and work is not None:
            self._stop.state = state
            work.cancel()

    async def work(self) -> None:
        tenant_id = self._claim.tenant_id
        try:
            evaluation, waiting = await self._questions()
            for question in waiting:
                outcome = await self._ask(evaluation, question.spec)
                if self._unwanted:
                    return
                async with tenant_tx(self._db, tenant_id) as tx:
                    # Not kept: the question is gone, or the whole evaluation, which `evaluate` sees.
                    await Evaluations(tx).add_result(self._claim, result_of(question.id, question.spec, outcome))
        except (_Given, Unreadable) as error:
            async with tenant_tx(self._db, tenant_id) as tx:
                await Evaluations(tx).fail(self._claim, str(error))
            log.info("evaluation.failed", evaluation=str(self._claim.id), reason=str(error))
            return
        async with tenant_tx(self._db, tenant_id) as tx:
            evaluations = Evaluations(tx)
            summary = summary_of(await evaluations.results(tenant_id, self._claim.id))
            await evaluations.complete(self._claim, summary)
        log.info("evaluation.completed", evaluation=str(self._claim.id), questions=summary.questions)

    async def _questions(self) -> tuple[Evaluation, list[StoredQuestion]]:
        """Those that have no result yet."""
        tenant_id = self._claim.tenant_id
        async with tenant_tx(self._db, tenant_id) as tx:
            evaluations = Evaluations(tx)
            evaluation = await evaluations.get(tenant_id, self._claim.id)
            if evaluation.question_set_id is None:
                raise _Given(SET_GONE)
            self._knowledge = (await Chatbots(tx).get(tenant_id, evaluation.chatbot_id)).knowledge
            questions = await QuestionSets(tx).questions(tenant_id, evaluation.question_set_id, MAX_QUESTIONS)
            done = {result.question_id for result in await evaluations.results(tenant_id, evaluation.id)}
        return evaluation, [question for question in questions if question.id not in done]

    async def _ask(self, evaluation: Evaluation, question: QuestionSpec) -> Outcome:
        """Raises _Given when there is no sense in going on."""
        ask = self._find if evaluation.mode is Mode.RETRIEVAL else self._answer
        for pause in (*TRY_AGAIN_SECONDS, None):
            try:
                return await ask(evaluation, question)
            except (QuotaExceeded, InvalidInput) as error:
                raise _Given(error.message) from error
            except (EngineFailed, RateLimited, Unavailable) as error:
                if pause is None:
                    raise _Given(error.message) from error
                await asyncio.sleep(pause)
            except AppError as error:
                # Of this question alone, as one that is too long for the model.
                return Outcome((), None, (), refused=False, error=error.message)
        raise AssertionError

    async def _find(self, evaluation: Evaluation, question: QuestionSpec) -> Outcome:
        retriever = _Recording(self._ports.retriever)
        place, config = (evaluation.tenant_id, evaluation.chatbot_id), evaluation.config.retrieval
        await retriever.retrieve(
            RetrievalRequest(*place, question.question, config, _history(question), self._knowledge)
        )
        return Outcome(
            retriever.passages,
            None,
            (),
            refused=not retriever.passages,
            retrieval_ms=retriever.milliseconds,
            total_ms=retriever.milliseconds,
        )

    async def _answer(self, evaluation: Evaluation, question: QuestionSpec) -> Outcome:
        ports, tenant_id = self._ports, evaluation.tenant_id
        model = ports.resolve_model(evaluation.config.model)
        retriever = _Recording(ports.retriever)
        turn = TurnInput(
            TurnId(new_uuid()),
            tenant_id,
            evaluation.chatbot_id,
            evaluation.config,
            model,
            question.question,
            _history(question),
            self._knowledge,
        )
        meter = await self._meter_of_now()
        ports_of_turn = ports.turn_ports(model, retriever, meter)
        stop = self._stop = StopSignal()
        began, ended = time.perf_counter(), None
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        deadline = loop.call_later(ports.turn_seconds, self._cut, task, TurnState.INTERRUPTED)
        try:
            async for event in run_turn(turn, ports_of_turn, stop):
                if isinstance(event, AnswerEnded):
                    ended = event
        except EngineFailed:
            if stop.state is None:
                raise
        finally:
            deadline.cancel()
            self._stop = StopSignal()
        cost = 0 if ended is None else await self._bill(turn, ended, meter.tally.cost_micro)
        if ended is None or ended.state is TurnState.INTERRUPTED:
            if stop.state is None:
                raise EngineFailed
            return Outcome(retriever.passages, None, (), refused=False, error=TOO_LONG, cost_micro=cost)
        return Outcome(
            retriever.passages,
            ended.answer,
            ended.citations,
            refused=_says_nothing(ended, evaluation.config),
            model=ended.model,
            usage=ended.usage,
            cost_micro=cost,
            retrieval_ms=retriever.milliseconds,
            total_ms=_milliseconds(began),
        )

    async def _meter_of_now(self) -> "_Meter":
        """Raises QuotaExceeded when the tenant's budget is spent."""
        tenant_id = self._claim.tenant_id
        async with tenant_tx(self._db, tenant_id) as tx:
            key = await Turns(tx, tenant_id).plan_key()
            used = await Ledger(tx).tokens_this_month(tenant_id)
        plan = self._ports.plans.get(key)
        if plan is None:
            raise QuotaExceeded("The plan of this account is not known; contact support.")
        plan.allow_tokens(used, 1)
        return _Meter(plan, used, self._ports.priced)

    async def _bill(self, turn: TurnInput, ended: AnswerEnded, cost: int) -> int:
        """Into the ledger and the day's sums, as any answer; what it cost, in millionths."""
        if not ended.usage.total_tokens:
            return 0
        place = turn.tenant_id, turn.turn_id, turn.chatbot_id, SessionId(self._claim.id)
        async with tenant_tx(self._db, turn.tenant_id) as tx:
            ledger = Ledger(tx)
            await ledger.record(*place, ended.model, ended.usage, cost)
            await ledger.add_today(turn.tenant_id, turn.chatbot_id, ended.usage, cost)
        await self._ports.spent(turn.tenant_id, ended.usage.total_tokens)
        return cost


class _Meter:
    """Meter of one answer, over what the tenant had used when it began."""

    def __init__(self, plan: Plan, used: int, priced: Callable[[ModelCall], ModelCall]) -> None:
        self.tally = Tally()
        self._plan = plan
        self._spent = used
        self._held = 0
        self._priced = priced

    def reserve(self, tokens: int, at_least: int | None = None) -> int:
        taken = self._spent + self._held + self.used.total_tokens
        granted = min(tokens, max(self._plan.limits.max_tokens_per_month - taken, at_least or tokens))
        self._plan.allow_tokens(taken, granted)
        self._held += granted
        return granted

    def record(self, call: ModelCall, reserved: int = 0) -> None:
        self._held -= min(self._held, max(reserved, call.usage.total_tokens))
        self.tally.add(self._priced(call))

    @property
    def used(self) -> Usage:
        return self.tally.usage


def _history(question: QuestionSpec) -> tuple[PromptMessage, ...]:
    return tuple(PromptMessage(said.role, said.content) for said in question.history)


def _says_nothing(ended: AnswerEnded, config: ChatbotConfig) -> bool:
    return ended.plan_reason.startswith(NO_ANSWER_REASONS) or words(ended.answer) == words(config.no_answer)


def _milliseconds(began: float) -> int:
    return round((time.perf_counter() - began) * 1_000)
