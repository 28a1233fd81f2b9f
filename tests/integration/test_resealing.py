"""What is in clear, from before encryption, and what an older key sealed: sealed anew while people chat."""

import asyncio
from contextlib import suppress
from uuid import uuid4

from actors.resealing import Pass, reseal
from domain.conversation import Question, TurnState
from domain.ids import DocumentId, TenantId, new_uuid
from storage.blobs import BlobStore, original_key, parsed_key
from storage.postgres.database import Database, fetch_all, system_tx, tenant_tx
from storage.postgres.messages import Messages
from storage.postgres.sessions import Sessions
from storage.postgres.tenant_keys import TenantKeys, keys_of
from storage.postgres.turns import Turns
from tests.fixtures.desk import Desk, collect
from tests.fixtures.sealed import impatient_vault

BEFORE = (
    "update sessions set title = 'Quokka title', sealed_title = null where tenant_id = %(tenant)s",
    "update messages set content = 'Quokka ' || role, sealed = null where tenant_id = %(tenant)s",
    """update citations set document_name = 'quokka.pdf', section = 'Quokkas', snippet = 'Quokka?', sealed = null
    where tenant_id = %(tenant)s""",
    """insert into feedback (tenant_id, message_id, rating, comment)
    select tenant_id, id, 'down', 'Quokka!' from messages where tenant_id = %(tenant)s and role = 'assistant'""",
    """insert into documents (tenant_id, id, chatbot_id, name, media_type, size, content_hash, status)
    select tenant_id, %(document)s, id, 'q.txt', 'text/plain', 1, 'x', 'ready' from chatbots
    where tenant_id = %(tenant)s limit 1""",
)


async def chat(desk: Desk, text: str = "What does the lamp cost?") -> None:
    await collect((await desk.activate()).submit(desk.session, Question(str(uuid4()), text)))


async def as_before(desk: Desk) -> DocumentId:
    """The tenant's rows, and one document's files, as they were stored before there were keys."""
    document, blobs = DocumentId(new_uuid()), BlobStore(desk.knowledge.objects_url)
    async with system_tx(desk.knowledge.db) as tx:
        for statement in BEFORE:
            await tx.execute(statement.encode(), {"tenant": desk.tenant, "document": document})
    await blobs.put(original_key(desk.tenant, document), b"Quokka file")
    await blobs.put(parsed_key(desk.tenant, document), b'{"text": "Quokka"}')
    return document


async def shown(db: Database, desk: Desk) -> list[str]:
    """All that readers see of the session."""
    async with tenant_tx(db, desk.tenant) as tx:
        session = await Sessions(tx).get(desk.tenant, desk.session)
        assert session.head_turn_id is not None
        messages = await Messages(tx).list_page(desk.tenant, desk.session, session.head_turn_id, 100)
    texts = [session.title]
    for message in messages:
        texts.append(message.content)
        texts += [f"{cited.document_name} {cited.section} {cited.snippet}" for cited in message.citations]
        texts += [message.feedback.comment] if message.feedback else []
    return texts


QUOKKAS = ["Quokka title", "Quokka user", "Quokka assistant", "quokka.pdf Quokkas Quokka?", "Quokka!"]


async def in_clear(desk: Desk) -> list[str]:
    """Columns of the tenant's rows that hold the word."""
    found = []
    for table in ("sessions", "messages", "citations", "feedback"):
        for row in await desk.rows(table):
            found += [f"{table}.{name}" for name, value in row.items() if "quokka" in str(value).lower()]
    return sorted(found)


async def run(desk: Desk, settle_seconds: float = 0.0) -> Pass:
    return await reseal(desk.knowledge.db, BlobStore(desk.knowledge.objects_url), settle_seconds)


async def test_what_was_in_clear_is_read_then_sealed(desk: Desk) -> None:
    await chat(desk)
    document = await as_before(desk)
    assert await shown(desk.knowledge.db, desk) == QUOKKAS
    assert len(await in_clear(desk)) == 7
    done = await run(desk)
    assert (done.rows, done.documents, done.keys, done.failed) == (5, 1, 0, ())
    assert await in_clear(desk) == []
    assert await shown(desk.knowledge.db, desk) == QUOKKAS
    keys = (await keys_of(desk.knowledge.db, desk.tenant)).for_document(document)
    blobs = BlobStore(desk.knowledge.objects_url)
    for key, name, content in (
        (original_key(desk.tenant, document), "original", b"Quokka file"),
        (parsed_key(desk.tenant, document), "parsed.json", b'{"text": "Quokka"}'),
    ):
        stored = await blobs.get(key)
        assert b"Quokka" not in stored
        assert keys.open(name, stored) == content
    assert await run(desk) == Pass(0, 0, 0, ())


async def test_a_history_in_clear_and_sealed_is_one_history(desk: Desk) -> None:
    await chat(desk)
    await as_before(desk)
    await chat(desk, "And the table?")
    sent = [message.content for message in desk.generator.requests[-1].messages]
    assert sent[-1].endswith("And the table?")
    assert [text for text in sent if text in ("Quokka user", "Quokka assistant")] == ["Quokka user", "Quokka assistant"]


async def test_many_batches_and_a_cut_in_the_middle(desk: Desk) -> None:
    """A pass that is stopped has lost nothing, and the next one ends it."""
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        turns = Turns(tx, desk.tenant)
        epoch = await turns.claim_epoch("test")
        for number in range(450):
            turn, question = new_uuid(), Question(f"c{number}", f"question {number}")
            await turns.accept(desk.session, question, turn, new_uuid(), epoch, TurnState.RUNNING)  # type: ignore[arg-type]
            await turns.add_answer(turn, desk.session, new_uuid(), f"answer {number}", ())  # type: ignore[arg-type]
            await turns.end(turn, epoch, TurnState.COMPLETED)  # type: ignore[arg-type]
    async with system_tx(desk.knowledge.db) as tx:
        await tx.execute(
            "update messages set content = 'Quokka ' || id, sealed = null where tenant_id = %s", [desk.tenant]
        )
    before = await shown(desk.knowledge.db, desk)
    cut = asyncio.create_task(run(desk))
    async with asyncio.timeout(30):
        while not any(row["sealed"] for row in await desk.rows("messages")):
            await asyncio.sleep(0)
    cut.cancel()
    with suppress(asyncio.CancelledError):
        await cut
    assert await shown(desk.knowledge.db, desk) == before
    await run(desk)
    assert await in_clear(desk) == []
    assert await shown(desk.knowledge.db, desk) == before


async def versions(desk: Desk) -> set[int]:
    """Of the key that anything of the tenant is sealed with."""
    sealed = [
        row[column]
        for table, column in (
            ("sessions", "sealed_title"),
            ("messages", "sealed"),
            ("citations", "sealed"),
            ("feedback", "sealed_comment"),
        )
        for row in await desk.rows(table)
    ]
    files = {row["sealed_version"] for row in await desk.rows("documents")}
    return {int.from_bytes(value[1:5], "big") for value in sealed if value} | files


async def rotate(desk: Desk) -> None:
    """A new version, in use at once."""
    async with system_tx(desk.knowledge.db) as tx:
        await TenantKeys(tx).rotate(desk.tenant, seconds=0.0)
    assert desk.knowledge.db.vault is not None
    desk.knowledge.db.vault.forget(desk.tenant)


async def known(desk: Desk) -> list[int]:
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        return [key.version for key in await TenantKeys(tx).stored(desk.tenant)]


async def test_an_older_key_goes_when_nothing_needs_it(desk: Desk) -> None:
    await chat(desk)
    document = await as_before(desk)
    await run(desk)
    await rotate(desk)
    before = await shown(desk.knowledge.db, desk)
    kept = await run(desk, settle_seconds=3_600)
    assert (kept.rows, kept.documents, kept.keys) == (6, 1, 0)
    assert await versions(desk) == {2}
    assert await known(desk) == [1, 2], "an answer in Redis may still need the older one"
    gone = await run(desk)
    assert (gone.rows, gone.keys) == (0, 1)
    assert await known(desk) == [2]
    other = await Database.open(*desk.knowledge.urls, vault=impatient_vault())
    assert await shown(other, desk) == before == QUOKKAS
    keys = (await keys_of(other, desk.tenant)).for_document(document)
    stored = await BlobStore(desk.knowledge.objects_url).get(original_key(desk.tenant, document))
    assert keys.open("original", stored) == b"Quokka file"
    await other.close()


async def test_a_document_in_work_keeps_its_key(desk: Desk) -> None:
    await chat(desk)
    document = await as_before(desk)
    await run(desk)
    async with system_tx(desk.knowledge.db) as tx:
        await tx.execute("update documents set status = 'processing' where id = %s", [document])
    await rotate(desk)
    assert (await run(desk)).keys == 0
    assert await known(desk) == [1, 2]
    async with system_tx(desk.knowledge.db) as tx:
        await tx.execute("update documents set status = 'ready' where id = %s", [document])
    done = await run(desk)
    assert (done.documents, done.keys) == (1, 1)


async def test_rotation_while_people_chat(desk: Desk) -> None:
    actor = await desk.activate()
    asked: list[str] = []

    async def talk() -> None:
        while len(asked) < 12:
            question = f"What does lamp {len(asked)} cost?"
            events = await collect(actor.submit(desk.session, Question(str(uuid4()), question)))
            assert events[-1]["k"] == "done", events[-1]
            asked.append(question)

    talking = asyncio.create_task(talk())
    for _ in range(3):
        goal = len(asked) + 2
        async with asyncio.timeout(30):
            while len(asked) < goal and not talking.done():
                await asyncio.sleep(0.01)
        await rotate(desk)
        # Turns on their way may hold the version before: it stays until they are over.
        await run(desk, settle_seconds=3_600)
    await talking
    await run(desk)
    assert await known(desk) == [4]
    assert await versions(desk) == {4}
    other = await Database.open(*desk.knowledge.urls, vault=impatient_vault())
    texts = await shown(other, desk)
    # The first one is the session's title too.
    assert [text for text in texts if text in asked] == [asked[0], *asked]
    await other.close()


async def test_one_row_that_does_not_open_stops_nobody_else(desk: Desk) -> None:
    await chat(desk)
    await as_before(desk)
    other = await desk.knowledge.new_bot()
    async with tenant_tx(desk.knowledge.db, other[0]) as tx:
        session = await Sessions(tx).insert(*other, "Fine")
    async with system_tx(desk.knowledge.db) as tx:
        await tx.execute(
            "update messages set content = null, sealed = '\\x01000000630000' where tenant_id = %s", [desk.tenant]
        )
        await tx.execute("update sessions set title = 'Fine', sealed_title = null where tenant_id = %s", [other[0]])
    done = await run(desk)
    assert desk.tenant in done.failed
    assert await title_column(desk.knowledge.db, other[0]) == [""]
    async with tenant_tx(desk.knowledge.db, other[0]) as tx:
        assert (await Sessions(tx).get(other[0], session.id)).title == "Fine"


async def title_column(db: Database, tenant: TenantId) -> list[str]:
    async with tenant_tx(db, tenant) as tx:
        return [row["title"] for row in await fetch_all(tx, "select title from sessions")]


async def test_a_shredded_tenant_is_left_alone(desk: Desk) -> None:
    await chat(desk)
    await as_before(desk)
    async with system_tx(desk.knowledge.db) as tx:
        await TenantKeys(tx).shred(desk.tenant)
    assert await run(desk) == Pass(0, 0, 0, ())
