"""What documents may cost that somebody else's API embeds: held of the tenant's budget while they are in work."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby

from domain.errors import NotFound, QuotaExceeded
from domain.ids import ChatbotId, DocumentId, TenantId, TurnId
from domain.metering import ModelCall, Purse, Tally

BYTES_PER_TOKEN = 4
"""Of a document, about; with more tokens than that the bill is still right, and the next document waits for it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A document that is to be embedded."""

    tenant_id: TenantId
    chatbot_id: ChatbotId
    document_id: DocumentId
    size: int
    """Bytes."""


@dataclass(slots=True)
class Allowed:
    """Those of neither kind have to wait for what the others leave."""

    may: set[DocumentId] = field(default_factory=set)
    refused: dict[DocumentId, str] = field(default_factory=dict)
    """Each with a sentence for the user."""


class PaidEmbedding:
    """One per process. A document is refused only when nothing is left though nothing is held here."""

    def __init__(
        self, price: Callable[[Sequence[str], str], ModelCall], highest: Callable[[str], int], purse: Purse
    ) -> None:
        """`price` is the call, with its cost, that embedding texts with a model is, the usual one when it has no name;
        `highest` what a million tokens of a model cost at most, in micro-units."""
        self._price = price
        self._highest = highest
        self._purse = purse
        self._held: Counter[TenantId] = Counter()
        self._released = asyncio.Condition()

    def tally(self, texts: Sequence[str], model: str) -> Tally:
        """What embedding these is, for the ledger."""
        tally = Tally()
        tally.add(self._price(texts, model))
        return tally

    async def spent(self, tenant_id: TenantId, chatbot_id: ChatbotId, tally: Tally, entry: TurnId) -> None:
        """The ledger has it from now on, as `entry`; before what was held is given back."""
        await self._purse.spend(tenant_id, chatbot_id, tally, entry)

    @asynccontextmanager
    async def hold(self, wishes: Sequence[Wish], model: str) -> AsyncIterator[Allowed]:
        """Hold what some of them are likely to use, one for each bot at least, until the context is left.

        Raises Unavailable when nobody can say.
        """
        allowed, taken = Allowed(), Counter[TenantId]()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._release, taken)
            by_bot = sorted(wishes, key=lambda wish: (str(wish.tenant_id), str(wish.chatbot_id)))
            for (tenant_id, _), group in groupby(by_bot, lambda wish: (wish.tenant_id, wish.chatbot_id)):
                mine = list(group)
                granted = await self._take(stack, mine, model, allowed)
                if granted is None:
                    continue
                taken[tenant_id] += 1
                self._held[tenant_id] += 1
                for wish in mine:
                    if allowed.may.isdisjoint(one.document_id for one in mine) or _tokens(wish) <= granted:
                        allowed.may.add(wish.document_id)
                        granted -= _tokens(wish)
            yield allowed

    async def _take(self, stack: AsyncExitStack, mine: list[Wish], model: str, allowed: Allowed) -> int | None:
        """Tokens for documents of one bot; None where they are refused, or wait for the next round."""
        tenant_id, price = mine[0].tenant_id, self._highest(model)
        most = sum(map(_tokens, mine))
        while True:
            grant = self._purse.grant(tenant_id, mine[0].chatbot_id, most, at_least=1, price=price)
            try:
                return await stack.enter_async_context(grant)
            except NotFound:
                # The bot is gone: the pipeline finds out, and nothing is embedded for nobody.
                allowed.may.update(wish.document_id for wish in mine)
                return None
            except QuotaExceeded as error:
                if not self._held[tenant_id]:
                    allowed.refused |= {wish.document_id: error.message for wish in mine}
                    return None
            if allowed.may:
                return None
            async with self._released:
                if self._held[tenant_id]:
                    await self._released.wait()

    async def _release(self, taken: Counter[TenantId]) -> None:
        """Called when the grants are given back."""
        async with self._released:
            self._held -= taken
            self._released.notify_all()


def _tokens(wish: Wish) -> int:
    return wish.size // BYTES_PER_TOKEN + 1
