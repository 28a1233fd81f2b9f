"""One turn, pure: guard the input, retrieve, fit the prompt, stream from a model, guard the output, cite."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from domain.answer_form import AnswerForm
from domain.attempt_lane import Waiting
from domain.attempts import Attempts
from domain.caching.looking_up import look_up
from domain.caching.nothing import NothingKept
from domain.caching.scope import CacheHit, CacheScope, Match
from domain.chatbot import ChatbotConfig
from domain.citing import cite
from domain.conversation import Citation, TurnState
from domain.difficulty import difficulty_of
from domain.documents import Passage
from domain.errors import AppError, EngineFailed
from domain.generation import Delta, GenerationRequest, PlanRequest, PromptMessage, Usage
from domain.guarding.chain import GuardChain
from domain.guarding.checks import Checks
from domain.guarding.output import OutputGuard
from domain.guarding.report import GuardReport
from domain.ids import ChatbotId, TenantId, TurnId
from domain.knowledge import FIRST, Knowledge
from domain.metering import Meter
from domain.ports import AnswerCache, Generator, Planner, Retriever, TokenCounter
from domain.prompt import Conversation, Prompt, Window, fit_prompt
from domain.prompting.audience import Audience
from domain.prompting.head import NOBODY
from domain.prompting.quotations import mark_of
from domain.retrieval.configuration import Grounding
from domain.retrieval.result import Retrieval, RetrievalRequest
from domain.retrieval.rewriting import rewritten
from domain.retry_budget import RetryBudget
from domain.trace import TurnTrace

SHORTEST_ANSWER = 64
"""Tokens; when the budget leaves fewer for an answer, there is none."""


@dataclass(frozen=True, slots=True)
class TurnInput:
    turn_id: TurnId
    tenant_id: TenantId
    chatbot_id: ChatbotId
    config: ChatbotConfig
    model: str
    """A model or a route of configs/models.yaml; never `default`."""
    question: str
    history: tuple[PromptMessage, ...]
    knowledge: Knowledge = FIRST
    """The generation that was live when the question came."""
    cache: CacheScope | None = None
    """Where an answer may be kept for the question, None where it has to be a new one."""
    session_id: str = ""
    plan: str = ""
    """The key of the tenant's plan."""
    summary: str = ""
    """Of the conversation before `history`."""
    audience: Audience = NOBODY
    form: AnswerForm | None = None
    """What the answer has to be; None: text."""


@dataclass(frozen=True, slots=True)
class TurnPorts:
    retriever: Retriever
    planner: Planner
    generator: Generator
    counter: TokenCounter
    window: Window
    guard: Checks
    meter: Meter
    """Asked before each call of a model, and told of it after."""
    trace: TurnTrace = field(default_factory=TurnTrace)
    answers: AnswerCache = field(default_factory=NothingKept)
    retries: RetryBudget = field(default_factory=RetryBudget)
    """One for all turns of a process."""


@dataclass(frozen=True, slots=True)
class StageReached:
    stage: str
    prompt_tokens: int = 0
    """Of the prompt that the generation begins with."""
    position: int | None = None
    """While `queued`: the place in the engine's queue, 1 is next."""


@dataclass(frozen=True, slots=True)
class AnswerText:
    text: str
    tokens: int = 0
    """Completion tokens that the text took."""


@dataclass(frozen=True, slots=True)
class AnswerEnded:
    """The last event of a turn that has an answer to keep."""

    state: TurnState
    answer: str
    citations: tuple[Citation, ...]
    model: str
    usage: Usage
    """Of all calls that were made for it."""
    plan_reason: str
    guard: GuardReport = field(default_factory=GuardReport)
    """What the checks found."""
    cached: Match | None = None
    """How the answer was found that had been kept from before."""


TurnEvent = StageReached | AnswerText | AnswerEnded


@dataclass(slots=True)
class StopSignal:
    """Set `state`, then cancel the task that iterates the turn: it ends in that state with what it has."""

    state: TurnState | None = None


@dataclass(slots=True)
class _Progress:
    """What the turn has reached, kept outside the generator so that a stop at any point can be settled."""

    answer: str = ""
    """What was shown of it."""
    passages: tuple[Passage, ...] = ()
    attempts: Attempts | None = None
    reason: str = ""
    """Of an answer that did not come from a model; else the attempts say it."""
    hit: CacheHit | None = None
    """The kept answer that is given."""


async def run_turn(
    turn: TurnInput, ports: TurnPorts, stop: StopSignal, report: GuardReport | None = None
) -> AsyncGenerator[TurnEvent, None]:
    """Yield stages and text, then one AnswerEnded; an answer that a failure cut short is kept as `interrupted`.

    What the checks find is added to `report`, also when the turn fails; the answer is what was shown, to the letter.
    Raises AppError when there is no answer to keep: QuotaExceeded, Unavailable, EngineFailed, Unprocessable.
    """
    progress = _Progress()
    report = GuardReport() if report is None else report
    state = TurnState.COMPLETED
    try:
        async with aclosing(_answer(turn, ports, progress, report)) as events:
            async for event in events:
                yield event
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if stop.state is None or task is None:
            raise
        task.uncancel()
        state = stop.state
        if state is TurnState.INTERRUPTED and not progress.answer:
            raise EngineFailed("The answer took too long; try again.") from None
    except AppError:
        if not progress.answer:
            raise
        state = TurnState.INTERRUPTED
    if state is TurnState.COMPLETED and not progress.answer.strip():
        progress.answer = turn.config.no_answer
        yield AnswerText(progress.answer)
    hit, attempts = progress.hit, progress.attempts
    model, reason = turn.model, progress.reason
    if hit is not None:
        model = hit.kept.model
    elif attempts is not None:
        model, reason = attempts.model, reason or attempts.reason
    citations = hit.kept.citations if hit else tuple(cite(turn.question, progress.answer, progress.passages))
    how = ports.meter.used, reason, report, hit.match if hit else None
    yield AnswerEnded(state, progress.answer, citations, model, *how)


async def _answer(
    turn: TurnInput, ports: TurnPorts, progress: _Progress, report: GuardReport
) -> AsyncGenerator[TurnEvent, None]:
    chain = GuardChain(turn.config.guardrails, ports.guard, report)
    with ports.trace.stage("guard"):
        question, refusal = await chain.input(turn.question)
    if refusal is not None:
        progress.answer, progress.reason = refusal, "refused: input"
        yield AnswerText(refusal)
        return
    cache = turn.cache if report.verdict is None else None
    if (hit := await look_up(cache, question, ports.answers, ports.meter, ports.trace)) is not None:
        progress.hit, progress.reason = hit, hit.reason
        progress.answer = hit.kept.answer
        yield AnswerText(progress.answer)
        return
    yield StageReached("retrieving")
    retrieval = turn.config.retrieval
    request = RetrievalRequest(turn.tenant_id, turn.chatbot_id, question, retrieval, turn.history, turn.knowledge)
    if retrieval.rewrite == "model":
        with ports.trace.stage("rewrite"):
            query = await rewritten(question, turn.history, ports, turn.tenant_id, turn.turn_id, turn.model)
            request = replace(request, query=query)
    with ports.trace.stage("retrieve"):
        found = ports.trace.retrieval = await ports.retriever.retrieve(request)
        passages = chain.passages(found.passages)
    for call in found.calls:
        ports.meter.record(call)
    if not passages and retrieval.grounding is Grounding.DOCUMENTS:
        progress.answer, progress.reason = turn.config.no_answer, "no relevant passage"
        yield AnswerText(turn.config.no_answer)
        return
    mark = mark_of(turn.turn_id) if turn.config.guardrails.data_marking else ""
    conversation = Conversation(turn.history, turn.summary)
    with ports.trace.stage("prompt"):
        window, audience = ports.window, turn.audience
        prompt = fit_prompt(
            turn.config, passages, conversation, question, ports.counter, window, mark, audience, turn.form
        )
    ports.trace.note("prompt", prompt.note | {"exact": ports.counter.exact})
    ports.trace.messages = prompt.messages
    most_prompt = prompt.tokens * window.count_factor
    shortest = most_prompt + min(SHORTEST_ANSWER, prompt.max_tokens)
    room = ports.meter.reserve(most_prompt + prompt.max_tokens, at_least=shortest)
    prompt = replace(prompt, max_tokens=room - most_prompt)
    progress.passages = prompt.passages
    yield StageReached("generating", prompt.tokens)
    guard = OutputGuard(chain, prompt.system)
    try:
        progress.attempts = Attempts(ports, turn.model, most_prompt)
        generation = GenerationRequest(
            str(turn.turn_id),
            turn.model,
            prompt.messages,
            prompt.max_tokens,
            turn.config.temperature,
            form=turn.form,
        )
        deltas = progress.attempts.stream(_plan_request(turn, prompt, found), generation)
        async for event in _shown(deltas, ports.trace, progress, guard):
            yield event
    finally:
        guard.close()


async def _shown(
    deltas: AsyncGenerator[Delta | Waiting, None], trace: TurnTrace, progress: _Progress, guard: OutputGuard
) -> AsyncGenerator[AnswerText | StageReached, None]:
    """What the checks let through, as soon as they do."""
    tokens = 0
    async with aclosing(deltas):
        async for delta in deltas:
            if isinstance(delta, Waiting):
                yield StageReached(delta.stage, position=delta.position)
                continue
            trace.mark("first_text")
            text = guard.feed(delta.text)
            tokens += delta.tokens
            if guard.refusal is not None:
                break
            if text:
                progress.answer += text
                yield AnswerText(text, tokens)
                tokens = 0
    text = await guard.finish()
    if guard.refusal is not None:
        text = f"\n\n{guard.refusal}" if progress.answer else guard.refusal
        progress.reason, progress.passages = "refused: output", ()
    if text:
        progress.answer += text
        yield AnswerText(text, tokens)


def _plan_request(turn: TurnInput, prompt: Prompt, retrieval: Retrieval) -> PlanRequest:
    difficulty = difficulty_of(turn.question, retrieval.relevance)
    return PlanRequest(
        turn.tenant_id,
        turn.model,
        prompt.tokens,
        prompt.max_tokens,
        session_id=turn.session_id,
        plan=turn.plan,
        difficulty=difficulty.score,
        signals=difficulty.signals,
    )
