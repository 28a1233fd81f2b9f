"""Evaluates a configuration on a question set: asks one question after the other, scores it, and stores what came."""

import asyncio
import time
from collections.abc import Callable
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
from domain.ids import SessionId, TurnId, new_uuid
from domain.knowledge import FIRST
from domain.metering import Meter, ModelCall, Purse, Tally, UseKind
from domain.ports import Retriever
from domain.prompting.audience import Audience
from domain.question_set import MAX_QUESTIONS, QuestionSpec, StoredQuestion, words
from domain.retrieval.result import Retrieval, RetrievalRequest
from domain.turn import AnswerEnded, StopSignal, TurnInput, TurnPorts, run_turn
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Database, tenant_tx
from storage.postgres.evaluations import Claim, Evaluations
from storage.postgres.ledger import Ledger
from storage.postgres.question_sets import QuestionSets

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
    bounds: Callable[[str], tuple[int, int]]
    """The most tokens that an answer of a model can take, and the most that a million of them can cost."""
    purse: Purse
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
        self._knowledge, self._bot_name = FIRST, ""

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
            bot = await Chatbots(tx).get(tenant_id, evaluation.chatbot_id)
            self._knowledge, self._bot_name = bot.knowledge, bot.name
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
        turn_id, bot_id = TurnId(new_uuid()), evaluation.chatbot_id
        asked = question.question, _history(question), self._knowledge
        whose, audience = str(self._claim.id), Audience(self._bot_name)
        turn = TurnInput(
            turn_id, tenant_id, bot_id, evaluation.config, model, *asked, session_id=whose, audience=audience
        )
        stop = self._stop = StopSignal()
        most, price = ports.bounds(model)
        async with ports.purse.grant(tenant_id, evaluation.chatbot_id, most, at_least=1, price=price) as granted:
            meter = _Meter(granted, ports.priced)
            began, ended = time.perf_counter(), None
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            deadline = loop.call_later(ports.turn_seconds, self._cut, task, TurnState.INTERRUPTED)
            try:
                async for event in run_turn(turn, ports.turn_ports(model, retriever, meter), stop):
                    if isinstance(event, AnswerEnded):
                        ended = event
            except EngineFailed:
                if stop.state is None:
                    raise
            finally:
                deadline.cancel()
                self._stop = StopSignal()
                await self._bill(turn, meter.tally)
        cost = meter.tally.cost_micro
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

    async def _bill(self, turn: TurnInput, tally: Tally) -> None:
        """Into the ledger and the day's sums, as any answer."""
        tenant_id, bot = turn.tenant_id, turn.chatbot_id
        async with tenant_tx(self._db, tenant_id) as tx:
            await Ledger(tx).record_beside(
                tenant_id, bot, UseKind.EVALUATION, tally, turn_id=turn.turn_id, session_id=SessionId(self._claim.id)
            )
        if tally.usage.total_tokens or tally.cost_micro:
            await self._ports.purse.spend(tenant_id, bot, tally, turn.turn_id)


class _Meter:
    """Meter of one answer, within what was granted for it."""

    def __init__(self, granted: int, priced: Callable[[ModelCall], ModelCall]) -> None:
        self.tally = Tally()
        self._granted = granted
        self._held = 0
        self._priced = priced

    def reserve(self, tokens: int, at_least: int | None = None, model: str | None = None) -> int:  # noqa: ARG002
        left = self._granted - self._held - self.used.total_tokens
        if left < (tokens if at_least is None else min(at_least, tokens)):
            raise QuotaExceeded("The budget of the month leaves too little for another answer.")
        self._held += min(tokens, left)
        return min(tokens, left)

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
