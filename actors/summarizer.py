"""Sums conversations up after their turns, beside what is answered: the next turn finds the summary in storage."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Self

import structlog

from actors.allowance import Allowance
from actors.running_turn import TurnTools
from actors.turn_meter import TurnMeter
from domain.budget import BudgetNotice
from domain.errors import AppError
from domain.generation import PromptMessage, Usage
from domain.ids import SessionId, TenantId, TurnId, new_uuid
from domain.metering import CallKind, ModelCall, UseKind
from domain.prices import ceiled
from domain.prompt import exchanges_of
from domain.prompting.quotations import mark_of
from domain.prompting.summarizing import due, summary_prompt
from domain.side_call import SideCall, SidePorts, ask
from domain.trace import TurnTrace
from domain.turn import TurnInput
from storage.postgres.budget_notices import BudgetNotices
from storage.postgres.database import tenant_tx
from storage.postgres.ledger import Ledger
from storage.postgres.open_calls import OpenCalls
from storage.postgres.said import Said
from storage.postgres.summaries import Summaries

log = structlog.get_logger()

AT_ONCE = 2
"""Summaries in a process: answers come first."""
SECONDS = 60.0


class Summarizer:
    """One per process. That a summary is due shows in what is stored: one that was not made, because the process ended,
    the budget was spent or no engine answered, is due again after the next turn. While it is made, its session makes
    no other."""

    def __init__(self, tools: TurnTools) -> None:
        self._tools = tools
        self._places = asyncio.Semaphore(AT_ONCE)
        self._at_work: dict[tuple[TenantId, SessionId], asyncio.Task[None]] = {}

    @classmethod
    def within(cls, stack: AsyncExitStack, tools: TurnTools) -> Self:
        """One that the stack closes."""
        made = cls(tools)
        stack.push_async_callback(made.close)
        return made

    def consider(
        self, turn: TurnInput, session_id: SessionId, said: Said, answer: str, allowance: Allowance, epoch: int
    ) -> None:
        """A turn has ended with this answer; returns at once."""
        context, place = turn.config.context, (turn.tenant_id, session_id)
        if context.strategy != "summary" or not answer or place in self._at_work:
            return
        if len(said.turns) < context.newest:
            return
        task = asyncio.create_task(self._work(turn, session_id, said, answer, allowance, epoch))
        self._at_work[place] = task
        task.add_done_callback(lambda _: self._at_work.pop(place, None))

    async def close(self) -> None:
        """End what is being made."""
        await _end(list(self._at_work.values()))

    async def let_go(self, tenant_id: TenantId, sessions: frozenset[SessionId] | None) -> None:
        """End what is being made of these sessions of the tenant, or of all, and forget what was said."""
        places = [one for one in self._at_work if one[0] == tenant_id and (sessions is None or one[1] in sessions)]
        await _end([self._at_work[place] for place in places])

    async def _work(
        self, turn: TurnInput, session_id: SessionId, said: Said, answer: str, allowance: Allowance, epoch: int
    ) -> None:
        logger = log.bind(tenant=str(turn.tenant_id), session=str(session_id))
        try:
            async with self._places:
                await self._summarize(turn, session_id, said, answer, allowance, epoch)
        except AppError as error:
            logger.warning("summary.not_made", code=error.code, cause=repr(error.__cause__))
        except Exception:
            logger.exception("summary.not_made", code=AppError.code)

    async def _summarize(
        self, turn: TurnInput, session_id: SessionId, said: Said, answer: str, allowance: Allowance, epoch: int
    ) -> None:
        """Raises StaleEpoch when another host has the tenant, QuotaExceeded, and what `ask` raises."""
        tools, context = self._tools, turn.config.context
        table = tools.record.table
        # Only to count with; what is spent goes by a meter of its own, which reads the limits of now.
        ports = tools.ports_of(
            turn.model, TurnMeter(allowance.budget, allowance.plan, turn.chatbot_id, table), TurnTrace()
        )
        ended = PromptMessage("user", turn.question), PromptMessage("assistant", answer)
        history, turns = (*said.history, *ended), (*said.turns, turn.turn_id)
        exchanges = exchanges_of(history)[: due(context, history, ports.counter)]
        mark = mark_of(turn.turn_id)
        prompt = summary_prompt(context, said.summary, exchanges, ports.counter, ports.window, mark)
        if prompt is None:
            return
        call = SideCall(
            id=f"summary-{turn.turn_id}",
            kind=CallKind.SUMMARY,
            tenant_id=turn.tenant_id,
            model=turn.model,
            messages=prompt.messages,
            prompt_tokens=prompt.tokens,
            max_tokens=context.summary_tokens,
            seconds=SECONDS,
            count_factor=ports.window.count_factor,
        )
        meter = await allowance.meter(turn.chatbot_id, table, table.highest_price(turn.model))
        stored = False
        notices: Sequence[BudgetNotice] = ()
        try:
            call_id = await self._open(call, turn, epoch)
            try:
                summary = await ask(call, SidePorts(ports.planner, ports.generator, meter, ports.retries))
            finally:
                notices = meter.notices()
                stored = await self._bill(turn, session_id, meter, call_id, notices)
            if summary:
                covered = turns[: prompt.exchanges]
                async with tenant_tx(tools.db, turn.tenant_id) as tx:
                    kept = await Summaries(tx, turn.tenant_id).add(
                        session_id, covered, said.summarized_to, summary, turn.model, epoch
                    )
                log.info("summary.made", session=str(session_id), exchanges=len(covered), kept=kept)
        finally:
            meter.settle(stored, notices)
            allowance.grants -= 1

    async def _open(self, call: SideCall, turn: TurnInput, epoch: int) -> TurnId:
        """Note that it begins: if this process dies under it, whoever has the tenant then bills it."""
        call_id, price = TurnId(new_uuid()), self._tools.record.table.highest_price(turn.model)
        usage = Usage(call.prompt_tokens, call.max_tokens)
        most = ModelCall(CallKind.SUMMARY, "", turn.model, usage, ceiled(usage.total_tokens * price))
        async with tenant_tx(self._tools.db, turn.tenant_id) as tx:
            await OpenCalls(tx, turn.tenant_id).open(call_id, turn.chatbot_id, UseKind.SUMMARY, most, epoch)
        return call_id

    async def _bill(
        self,
        turn: TurnInput,
        session_id: SessionId,
        meter: TurnMeter,
        call_id: TurnId,
        notices: Sequence[BudgetNotice],
    ) -> bool:
        """False when it was taken for lost and billed."""
        place = turn.tenant_id, turn.chatbot_id, UseKind.SUMMARY, meter.tally
        async with tenant_tx(self._tools.db, turn.tenant_id) as tx:
            if not await OpenCalls(tx, turn.tenant_id).close(call_id):
                return False
            await Ledger(tx).record_beside(*place, turn_id=call_id, session_id=session_id)
            for notice in notices:
                await BudgetNotices(tx).add(turn.tenant_id, notice)
        return True


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
