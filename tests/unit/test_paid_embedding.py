"""Documents that somebody else embeds for money: begun within the budget, refused once it is spent, and never both."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from actors.paid_embedding import PaidEmbedding, Wish
from domain.generation import Usage
from domain.ids import ChatbotId, DocumentId, TenantId, TurnId, new_uuid
from domain.metering import CallKind, ModelCall
from tests.fixtures.conditions import eventually
from tests.fixtures.purse import TwinPurse

TENANT = TenantId(UUID(int=1))


def wish(number: int, size: int = 400, bot: int = 1) -> Wish:
    return Wish(TENANT, ChatbotId(UUID(int=bot)), DocumentId(UUID(int=number)), size)


def paid(purse: TwinPurse) -> PaidEmbedding:
    def price(texts: Sequence[str], model: str) -> ModelCall:
        return ModelCall(CallKind.EMBEDDING, "", model, Usage(embedded_tokens=sum(map(len, texts))))

    return PaidEmbedding(price, lambda _: 0, purse)


async def spend(embedding: PaidEmbedding, tokens: int) -> None:
    tally = embedding.tally(["x" * tokens], "m")
    await embedding.spent(TENANT, ChatbotId(UUID(int=1)), tally, TurnId(new_uuid()))


async def test_documents_begin_as_far_as_the_budget_holds_them() -> None:
    purse = TwinPurse(250)
    async with paid(purse).hold([wish(1), wish(2), wish(3)], "m") as allowed:
        assert (allowed.may, allowed.refused) == ({DocumentId(UUID(int=1)), DocumentId(UUID(int=2))}, {})
        assert purse.left == 0
    assert purse.left == 250


async def test_nothing_is_begun_when_all_is_spent() -> None:
    embedding = paid(TwinPurse(100))
    await spend(embedding, 100)
    async with embedding.hold([wish(1), wish(2)], "m") as allowed:
        assert allowed.may == set()
        assert set(allowed.refused.values()) == {"The Free plan allows 100 tokens per month."}
        assert len(allowed.refused) == 2


async def test_one_document_is_begun_with_what_is_left() -> None:
    async with paid(TwinPurse(1)).hold([wish(1, 1_000_000), wish(2)], "m") as allowed:
        assert (len(allowed.may), allowed.refused) == (1, {})


async def test_a_bot_waits_while_another_one_of_the_tenant_holds_what_is_left() -> None:
    embedding = paid(TwinPurse(100))
    async with embedding.hold([wish(1, bot=1), wish(2, bot=2)], "m") as allowed:
        assert (len(allowed.may), allowed.refused) == (1, {}), "it may fit once the first is billed"
        began = asyncio.Event()

        async def other_lane() -> set[DocumentId]:
            began.set()
            async with embedding.hold([wish(3)], "m") as found:
                return set(found.refused)

        other = asyncio.create_task(other_lane())
        await began.wait()
        assert not other.done()
        await spend(embedding, 100)
    await eventually(other.done)
    assert other.result() == {DocumentId(UUID(int=3))}, "now it is spent"
