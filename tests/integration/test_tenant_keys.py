"""Tenants' data keys in the database: made once, rotated, wrapped anew, shredded, and never kept after a rollback."""

import asyncio
from uuid import UUID

import pytest

from cluster.keys import overview, rewrap, rotate
from domain.errors import Conflict, Erased, NotFound, Unavailable, Unreadable
from domain.ids import ChatbotId, TenantId, new_uuid
from storage.postgres.audit import Audit
from storage.postgres.database import Database, system_tx, tenant_tx
from storage.postgres.sessions import Sessions
from storage.postgres.tenant_keys import TenantKeys, cipher_of, keys_of
from tests.fixtures.database import MASTER_KEYS
from tests.fixtures.knowledge import KnowledgeBase
from tests.fixtures.sealed import impatient_vault

Bot = tuple[TenantId, ChatbotId]
NEW_MASTER = f"new:{'7b' * 32},{MASTER_KEYS.get_secret_value()}"


async def opened(knowledge: KnowledgeBase, keys: str = MASTER_KEYS.get_secret_value()) -> Database:
    """Another process."""
    return await Database.open(*knowledge.urls, vault=impatient_vault(keys))


async def make_session(db: Database, bot: Bot, title: str = "Warranty") -> UUID:
    async with tenant_tx(db, bot[0]) as tx:
        return (await Sessions(tx).insert(*bot, title)).id


async def titles(db: Database, bot: Bot) -> list[str]:
    async with tenant_tx(db, bot[0]) as tx:
        return [session.title for session in await Sessions(tx).list_page(*bot, 50)]


async def test_one_key_however_many_need_it_first(knowledge: KnowledgeBase, bot: Bot) -> None:
    others = [await opened(knowledge) for _ in range(4)]
    await asyncio.gather(*(make_session(db, bot, f"title {n}") for n, db in enumerate([knowledge.db, *others] * 4)))
    assert [(key.version, key.active) for key in await overview(knowledge.db, bot[0])] == [(1, True)]
    for db in (knowledge.db, *others):
        assert len(await titles(db, bot)) == 20
    for db in others:
        await db.close()


async def test_a_key_that_was_rolled_back_seals_nothing(knowledge: KnowledgeBase, bot: Bot) -> None:
    async def fail() -> None:
        async with tenant_tx(knowledge.db, bot[0]) as tx:
            await Sessions(tx).insert(*bot, "never there")
            # The key is asked for again in the transaction that made it.
            await cipher_of(tx, bot[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await overview(knowledge.db, bot[0]) == []
    await make_session(knowledge.db, bot)
    other = await opened(knowledge)
    assert await titles(other, bot) == ["Warranty"]
    await other.close()


async def test_only_the_first_transaction_asks_for_the_key(knowledge: KnowledgeBase, bot: Bot) -> None:
    await make_session(knowledge.db, bot)
    await titles(knowledge.db, bot)
    async with system_tx(knowledge.db) as tx:
        await tx.execute("update tenant_keys set wrapped = 'x' where tenant_id = %s", [bot[0]])
    assert await titles(knowledge.db, bot) == ["Warranty"]
    other = await opened(knowledge)
    with pytest.raises(Unreadable):
        await titles(other, bot)
    await other.close()


async def test_another_tenants_key_opens_nothing(knowledge: KnowledgeBase, bot: Bot) -> None:
    theirs = await knowledge.new_bot()
    session = await make_session(knowledge.db, bot)
    stolen = await make_session(knowledge.db, theirs, "mine")
    async with system_tx(knowledge.db) as tx:
        # Whoever may write the table, moves a value or a whole key.
        await tx.execute(
            "update sessions set sealed_title = (select sealed_title from sessions where id = %s) where id = %s",
            [session, stolen],
        )
    with pytest.raises(Unreadable):
        await titles(knowledge.db, theirs)
    async with system_tx(knowledge.db) as tx:
        await tx.execute(
            "update tenant_keys set wrapped = (select wrapped from tenant_keys where tenant_id = %s)"
            " where tenant_id = %s",
            [bot[0], theirs[0]],
        )
    other = await opened(knowledge)
    with pytest.raises(Unreadable):
        await titles(other, theirs)
    await other.close()


async def test_the_next_version_waits_and_old_ones_open(knowledge: KnowledgeBase, bot: Bot) -> None:
    await make_session(knowledge.db, bot, "first")
    assert await rotate(knowledge.db, [bot[0]]) == {bot[0]: 2}
    other = await opened(knowledge)
    assert (await keys_of(other, bot[0])).version == 1, "not before every process knows it"
    again = await rotate(knowledge.db, [bot[0]])
    assert isinstance(again[bot[0]], Conflict)
    async with system_tx(knowledge.db) as tx:
        await tx.execute("update tenant_keys set active_from = now() where tenant_id = %s", [bot[0]])
    assert (await keys_of(other, bot[0])).version == 2
    await make_session(other, bot, "second")
    assert sorted(await titles(other, bot)) == ["first", "second"]
    nobody = TenantId(new_uuid())
    assert isinstance((await rotate(knowledge.db, [nobody]))[nobody], NotFound)
    async with system_tx(knowledge.db) as tx:
        events = [event async for event in Audit(tx).whole(bot[0])]
    assert [(event.actor_kind, event.action, event.details) for event in events] == [
        ("operator", "key.rotate", {"version": 2})
    ]
    await other.close()


async def test_a_process_that_had_not_read_the_next_version_reads_what_others_write(
    knowledge: KnowledgeBase, bot: Bot
) -> None:
    """The order that the waiting time guarantees: known everywhere, then used."""
    await make_session(knowledge.db, bot, "first")
    async with system_tx(knowledge.db) as tx:
        await TenantKeys(tx).rotate(bot[0], seconds=0.5)
    remembers = await Database.open(*knowledge.urls, vault=impatient_vault(seconds=60))
    cipher = await keys_of(remembers, bot[0])
    assert cipher.version == 1
    async with asyncio.timeout(10):
        while cipher.version == 1:
            await asyncio.sleep(0.02)
    assert await keys_of(remembers, bot[0]) is cipher
    await make_session(remembers, bot, "second")
    other = await opened(knowledge)
    assert sorted(await titles(other, bot)) == ["first", "second"]
    await other.close()
    await remembers.close()


async def test_a_new_master_key_wraps_everything_anew(knowledge: KnowledgeBase, bot: Bot) -> None:
    theirs = await knowledge.new_bot()
    for one in (bot, theirs):
        await make_session(knowledge.db, one)
    only_new = await opened(knowledge, NEW_MASTER.partition(",")[0])
    with pytest.raises(Unavailable):
        await titles(only_new, bot)
    both = await opened(knowledge, NEW_MASTER)
    assert await titles(both, bot) == ["Warranty"]
    assert await rewrap(both) == {bot[0]: 1, theirs[0]: 1}
    assert {key.master_key_id for key in await overview(both)} == {"new"}
    assert await rewrap(both) == {}
    for one in (bot, theirs):
        assert await titles(only_new, one) == ["Warranty"]
    async with system_tx(both) as tx:
        assert [event.action async for event in Audit(tx).whole(bot[0])] == ["key.rewrap"]
    for db in (only_new, both):
        await db.close()


async def test_after_shredding_nothing_opens_and_nothing_is_written(knowledge: KnowledgeBase, bot: Bot) -> None:
    theirs = await knowledge.new_bot()
    for one in (bot, theirs):
        await make_session(knowledge.db, one)
        assert await titles(knowledge.db, one) == ["Warranty"]
    async with system_tx(knowledge.db) as tx:
        assert await TenantKeys(tx).shred(bot[0]) == 1
        assert await TenantKeys(tx).shred(bot[0]) == 0
    other = await opened(knowledge)
    for db in (knowledge.db, other):
        with pytest.raises(Erased) as caught:
            await titles(db, bot)
        assert caught.value.status == 410
        with pytest.raises(Erased):
            await make_session(db, bot, "again")
        assert await titles(db, theirs) == ["Warranty"]
    assert [key.shredded_at is not None for key in await overview(other, bot[0])] == [True]
    assert isinstance((await rotate(other, [bot[0]]))[bot[0]], Erased)
    async with system_tx(other) as tx:
        await tx.execute("delete from tenants where id = %s", [bot[0]])
    with pytest.raises(Erased):
        await keys_of(other, bot[0])
    await other.close()


async def test_without_a_vault_nothing_is_sealed(knowledge: KnowledgeBase, bot: Bot) -> None:
    blind = await Database.open(*knowledge.urls)
    with pytest.raises(RuntimeError, match="vault"):
        await make_session(blind, bot)
    assert await titles(blind, bot) == []
    await blind.close()
