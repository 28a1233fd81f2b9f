"""The documents repository over real PostgreSQL: one document per content, a fair queue, and tenants apart."""

import asyncio
from uuid import uuid4

import pytest

from domain.documents import Document, DocumentStatus
from domain.errors import NotFound
from domain.ids import ChatbotId, DocumentId, TenantId
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.documents import ClaimedDocument, Documents
from tests.fixtures.knowledge import KnowledgeBase, ids_of

Bot = tuple[TenantId, ChatbotId]
ENOUGH = 1_000_000


async def claim(knowledge: KnowledgeBase, limit: int = 100, max_bytes: int = ENOUGH) -> list[ClaimedDocument]:
    async with system_tx(knowledge.db) as tx:
        return await Documents(tx).claim_batch(limit, max_bytes)


async def test_the_same_content_twice_is_one_document(knowledge: KnowledgeBase, bot: Bot) -> None:
    first = await knowledge.upload(*bot, b"same", "a.txt")
    second = await knowledge.upload(*bot, b"same", "b.txt")
    assert first == second
    assert (first.status, first.name, first.size, first.pages) == (DocumentStatus.QUEUED, "a.txt", 4, None)
    other = await knowledge.upload(*await knowledge.new_bot(bot[0]), b"same")
    assert other.id != first.id


async def test_content_that_failed_gets_another_chance(knowledge: KnowledgeBase, bot: Bot) -> None:
    document = await knowledge.upload(*bot, b"bad")
    await claim(knowledge)
    async with tenant_tx(knowledge.db, bot[0]) as tx:
        assert await Documents(tx).mark_failed(bot[0], document.id, "It is damaged.")
    assert (await knowledge.document(document)).reason == "It is damaged."
    again = await knowledge.upload(*bot, b"bad", "again.txt")
    assert (again.id, again.status, again.reason, again.name) == (document.id, DocumentStatus.QUEUED, None, "again.txt")
    assert [one.attempts for one in await claim(knowledge)] == [1]


async def test_tenants_take_turns(knowledge: KnowledgeBase) -> None:
    greedy, modest = await knowledge.new_bot(), await knowledge.new_bot()
    many = [await knowledge.upload(*greedy, f"greedy {number}".encode()) for number in range(6)]
    few = [await knowledge.upload(*modest, f"modest {number}".encode()) for number in range(2)]
    first = ids_of([one.document for one in await claim(knowledge, 4)])
    assert first == ids_of([*many[:2], *few])
    late = await knowledge.upload(*modest, b"late")
    # Each has two in work; the next place is the same for both, and the older document goes first.
    assert ids_of([one.document for one in await claim(knowledge, 2)]) == ids_of([many[2], late])


async def test_a_batch_ends_with_its_bytes_but_is_never_empty(knowledge: KnowledgeBase, bot: Bot) -> None:
    big = await knowledge.upload(*bot, b"x" * 1_000)
    small = [await knowledge.upload(*bot, bytes([65 + number]) * 10) for number in range(3)]
    assert ids_of([one.document for one in await claim(knowledge, 10, 100)]) == {big.id}
    assert ids_of([one.document for one in await claim(knowledge, 10, 15)]) == ids_of(small[:2])


async def test_a_document_is_claimed_once(knowledge: KnowledgeBase, bot: Bot) -> None:
    documents = [await knowledge.upload(*bot, str(number).encode()) for number in range(20)]
    batches = await asyncio.gather(*(claim(knowledge, 8) for _ in range(4)))
    claimed = [one.document.id for batch in batches for one in batch]
    claimed += [one.document.id for one in await claim(knowledge)]
    assert sorted(claimed) == sorted(ids_of(documents))


async def test_the_end_of_work_needs_a_document_in_work(knowledge: KnowledgeBase, bot: Bot) -> None:
    tenant, _ = bot
    document = await knowledge.upload(*bot, b"x")
    async with system_tx(knowledge.db) as tx:
        assert not await Documents(tx).mark_ready(tenant, document.id, 1, 1)
        assert not await Documents(tx).mark_failed(tenant, document.id, "No.")
        assert await Documents(tx).orphans() == []
    await claim(knowledge)
    async with system_tx(knowledge.db) as tx:
        assert [one.document.id for one in await Documents(tx).orphans()] == [document.id]
        assert await Documents(tx).requeue(tenant, document.id)
        assert not await Documents(tx).requeue(tenant, document.id)
    [again] = await claim(knowledge)
    assert again.attempts == 2
    async with system_tx(knowledge.db) as tx:
        assert await Documents(tx).mark_ready(tenant, document.id, 3, 7)
    ready = await knowledge.document(document)
    assert (ready.status, ready.pages, ready.chunks) == (DocumentStatus.READY, 3, 7)
    await knowledge.delete(document)
    async with system_tx(knowledge.db) as tx:
        assert not await Documents(tx).mark_ready(tenant, document.id, 3, 7)


async def test_pages_of_the_list_are_newest_first(knowledge: KnowledgeBase, bot: Bot) -> None:
    documents = [await knowledge.upload(*bot, str(number).encode()) for number in range(5)]
    async with tenant_tx(knowledge.db, bot[0]) as tx:
        repository = Documents(tx)
        first = await repository.list_page(*bot, 3)
        rest = await repository.list_page(*bot, 3, before=first[-1].id)
        assert [one.id for one in [*first, *rest]] == [one.id for one in reversed(documents)]
        assert await repository.count(*bot) == 5


async def test_another_tenant_sees_nothing(knowledge: KnowledgeBase, bot: Bot) -> None:
    document: Document = await knowledge.upload(*bot, b"mine")
    stranger, their_bot = await knowledge.new_bot()
    async with tenant_tx(knowledge.db, stranger) as tx:
        repository = Documents(tx)
        for call in (repository.get, repository.delete):
            with pytest.raises(NotFound):
                await call(bot[0], bot[1], document.id)
        assert await repository.list_page(*bot, 10) == []
        assert not await repository.requeue(bot[0], document.id)
        assert await repository.claim_batch(10, ENOUGH) == []
        assert not await repository.chatbot_exists(*bot)
        assert await repository.chatbot_exists(stranger, their_bot)


async def test_unknown_documents_are_not_found(knowledge: KnowledgeBase, bot: Bot) -> None:
    other = await knowledge.new_bot(bot[0])
    document = await knowledge.upload(*bot, b"x")
    async with tenant_tx(knowledge.db, bot[0]) as tx:
        for chatbot, identifier in ((bot[1], DocumentId(uuid4())), (other[1], document.id)):
            with pytest.raises(NotFound):
                await Documents(tx).get(bot[0], chatbot, identifier)
