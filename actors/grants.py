"""What a tenant's live actor lets be used beside its turns: held as long as the caller's stream is open."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Self

import structlog

from actors.session_request import uuid_of
from actors.tenant_actor import TenantActor
from actors.turn_meter import TurnMeter
from configs.tables import ModelTable
from domain.errors import AppError, InvalidInput, StaleEpoch
from domain.ids import ChatbotId, TenantId

log = structlog.get_logger()


class Grants:
    """Methods of a session host's stream. A caller that dies, or is cut off, gives back what it held."""

    def __init__(
        self,
        activate: Callable[[TenantId], Awaitable[TenantActor]],
        active: Callable[[TenantId], TenantActor | None],
        forget: Callable[[TenantId], object],
        table: ModelTable,
    ) -> None:
        """`activate` claims a tenant that is not `active`; `forget` lets go of one that another host has taken."""
        self._activate = activate
        self._active = active
        self._forget = forget
        self._table = table
        self._telling: set[asyncio.Task[None]] = set()

    @classmethod
    def within(
        cls,
        stack: AsyncExitStack,
        activate: Callable[[TenantId], Awaitable[TenantActor]],
        active: Callable[[TenantId], TenantActor | None],
        forget: Callable[[TenantId], object],
        table: ModelTable,
    ) -> Self:
        """Those that the stack closes."""
        made = cls(activate, active, forget, table)
        stack.push_async_callback(made.close)
        return made

    async def grant(self, payload: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """`{"tokens": n}` once, and then nothing until the stream is left. Raises QuotaExceeded, NotFound."""
        tenant_id, chatbot_id = TenantId(uuid_of(payload["tenant_id"])), ChatbotId(uuid_of(payload["chatbot_id"]))
        tokens, least, price = int(payload["tokens"]), payload.get("at_least"), int(payload.get("price", 0))
        if tokens < 0 or price < 0:
            raise InvalidInput("There is no such amount.")
        actor = await self._activate(tenant_id)
        try:
            meter = await actor.allowance.meter(chatbot_id, self._table, price)
        except StaleEpoch:
            self._forget(tenant_id)
            actor = await self._activate(tenant_id)
            meter = await actor.allowance.meter(chatbot_id, self._table, price)
        try:
            yield {"tokens": meter.reserve(tokens, None if least is None else int(least))}
            await asyncio.Event().wait()
        finally:
            meter.settle(False)
            actor.allowance.grants -= 1
            # The caller has told by now what it used.
            task = asyncio.create_task(self._tell(actor, meter))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        """Returns when all that there was to tell is told."""
        await asyncio.gather(*self._telling)

    async def spend(self, payload: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Count what was used beside the turns, each entry once; who is not active counts from the ledger later."""
        actor = self._active(TenantId(uuid_of(payload["tenant_id"])))
        if actor is not None:
            bot = ChatbotId(uuid_of(payload["chatbot_id"]))
            actor.allowance.spend(bot, int(payload["tokens"]), int(payload["cost_micro"]), str(payload["entry"]))
        yield {}

    async def _tell(self, actor: TenantActor, meter: TurnMeter) -> None:
        try:
            await actor.allowance.tell(meter)
        except AppError as error:
            # The next call notices it as well.
            log.warning("budget.not_told", tenant=str(actor.tenant_id), error=repr(error))
