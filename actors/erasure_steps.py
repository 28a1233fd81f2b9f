"""The steps of an erasure, store by store: each removes what is there, may be repeated, and says how much went."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from redis.asyncio import Redis

from billing.account import StripeAccount
from billing.ending import end_subscriptions
from domain.erasure import Counts, Erasure, ErasureKind, Step
from domain.errors import Erased
from domain.ids import ChatbotId, DocumentId, TenantId, TurnId, VisitorId
from storage.blobs import BlobStore, document_prefix, export_key
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Database, Transaction, system_tx
from storage.postgres.erased_rows import ErasedRows, ErasedTenant
from storage.postgres.erasures import Erasures
from storage.postgres.tenant_keys import TenantKeys, keys_of
from storage.redis.access import announce_end
from storage.redis.kept_answers import KeptAnswers
from storage.redis.token_buckets import bucket_key
from storage.redis.traces import Traces
from storage.vectors.store import VectorStore

InWork = Callable[[TenantId], Collection[tuple[ChatbotId, DocumentId]]]
_BUCKETS = ("read", "write", "chat")


class NotYet(Exception):
    """A step waits for something that ends by itself."""


class Hosts(Protocol):
    async def let_go(self, tenant_id: TenantId, sessions: list[str] | None) -> int:
        """End turns and sockets of these sessions, or of all the tenant's; how many turns ran."""


@dataclass(frozen=True, slots=True)
class ErasureTools:
    """What the steps work on."""

    db: Database
    vectors: VectorStore
    blobs: BlobStore
    redis: Redis
    hosts: Hosts
    account: StripeAccount
    in_work: InWork
    """The tenant's documents that are being ingested in this process at the moment."""


class ErasureSteps:
    def __init__(self, tools: ErasureTools) -> None:
        self._tools = tools
        self._traces = Traces(tools.redis)
        self._removed: dict[DocumentId, int] = {}
        """Chunks of documents that went, off the disk too, together with those of another one of their bot."""

    async def in_transaction(self, tx: Transaction, step: Step, erasure: Erasure) -> Counts | None:
        """What a step of the database did, in the caller's system transaction; None for a step of another store.

        It may add to `erasure.related`. Raises NotYet.
        """
        match step:
            case Step.ACCESS:
                people, counts = await ErasedTenant(tx, erasure.tenant_id).end_access()
                known = erasure.related.get("people", [])
                erasure.related["people"] = sorted({*known, *people})
                return counts
            case Step.KEYS:
                return {"postgres.tenant_keys": await TenantKeys(tx).shred(erasure.tenant_id)}
            case Step.ROWS if erasure.kind is ErasureKind.TENANT:
                return await ErasedTenant(tx, erasure.tenant_id).remove(erasure.related.get("people", []))
            case Step.ROWS:
                return await ErasedRows(tx, erasure.tenant_id).remove(erasure.related)
            case Step.EVENTS:
                rows = ErasedRows(tx, erasure.tenant_id)
                if await rows.events_to_come(erasure):
                    raise NotYet("events are still on their way to their consumers")
                return await rows.remove_events(erasure)
            case _:
                return None

    async def outside(self, step: Step, erasure: Erasure) -> Counts:
        """What a step of another store did. Raises NotYet, and whatever the store raises."""
        tools, tenant = self._tools, erasure.tenant_id
        match step:
            case Step.BILLING:
                return {"stripe.subscriptions": await end_subscriptions(tools.db, tools.account, tenant)}
            case Step.LIVE:
                await self._announce(erasure)
                return {"live.turns": await tools.hosts.let_go(tenant, self._sessions(erasure))}
            case Step.VECTORS:
                return await self._vectors(erasure)
            case Step.BLOBS:
                return await self._blobs(erasure)
            case Step.REDIS:
                return await self._redis(erasure)
            case _:
                return {}

    async def left(self, erasure: Erasure) -> Counts:
        """What is still there, looked for in every store; empty when the erasure is complete."""
        tools, tenant, whole = self._tools, erasure.tenant_id, erasure.kind is ErasureKind.TENANT
        await tools.hosts.let_go(tenant, self._sessions(erasure))
        async with system_tx(tools.db) as tx:
            rows = ErasedRows(tx, tenant)
            if whole:
                found = await ErasedTenant(tx, tenant).count(erasure.related.get("people", []))
                found["postgres.tenant_keys"] = sum(
                    key.wrapped is not None for key in await TenantKeys(tx).stored(tenant)
                )
            else:
                found = await rows.count(erasure.related)
            found |= await rows.remove_events(erasure)
        found["redis.turns"] = len(await self._lost_turns(tenant))
        found["redis.events"] = await self._traces.events_about(erasure.needles)
        found["redis.kept_answers"] = await self._kept_answers(erasure, remove=False)
        found["vectors.tables"] = len(await tools.vectors.tables(tenant)) if whole else 0
        for bot in erasure.related_uuids("chatbots"):
            found["vectors.tables"] += ChatbotId(bot) in await tools.vectors.tables(tenant)
        found["blobs"] = 0
        for document in map(DocumentId, erasure.related_uuids("documents")):
            found["blobs"] += await tools.blobs.count(document_prefix(tenant, document))
            if erasure.kind is ErasureKind.DOCUMENT and erasure.chatbot_id is not None:
                found["vectors.chunks"] = await tools.vectors.remains(tenant, erasure.chatbot_id, document)
        for export in erasure.related_uuids("exports"):
            found["blobs"] += await tools.blobs.count(export_key(tenant, export))
        if whole:
            found["blobs"] = await tools.blobs.count(str(tenant))
        return {name: total for name, total in found.items() if total}

    async def _announce(self, erasure: Erasure) -> None:
        """Gateways close the sockets of those who are gone, also where no session is open any more."""
        if erasure.kind is ErasureKind.TENANT:
            await announce_end(self._tools.redis, erasure.tenant_id)
        for visitor in map(VisitorId, erasure.related_uuids("visitors")):
            await announce_end(self._tools.redis, erasure.tenant_id, visitor_id=visitor)

    def _sessions(self, erasure: Erasure) -> list[str] | None:
        return None if erasure.kind is ErasureKind.TENANT else erasure.related.get("sessions", [])

    async def _vectors(self, erasure: Erasure) -> Counts:
        tools, tenant = self._tools, erasure.tenant_id
        chatbots, documents = set(erasure.related_uuids("chatbots")), set(erasure.related_uuids("documents"))
        for bot, document in tools.in_work(tenant):
            if erasure.kind is ErasureKind.TENANT or bot in chatbots or document in documents:
                raise NotYet("a document is still being ingested")
        if erasure.kind is ErasureKind.TENANT:
            return {"vectors.tables": await tools.vectors.remove_tenant(tenant)}
        present = set(await tools.vectors.tables(tenant)) if chatbots else set()
        for chatbot in map(ChatbotId, chatbots):
            await tools.vectors.remove_chatbot(tenant, chatbot)
        chunks = 0
        if erasure.kind is ErasureKind.DOCUMENT and erasure.chatbot_id is not None:
            chunks = await self._chunks(tenant, erasure.chatbot_id, set(map(DocumentId, documents)))
            # Answers from between the deletion and now may cite it.
            async with system_tx(tools.db) as tx:
                await Chatbots(tx).knowledge_changed(tenant, erasure.chatbot_id)
        return {"vectors.tables": len(chatbots & present), "vectors.chunks": chunks}

    async def _chunks(self, tenant: TenantId, bot: ChatbotId, documents: set[DocumentId]) -> int:
        """Remove the documents' chunks; how many. With them go those of all of the bot's that wait for it: taking what
        was removed off the disk writes the whole table anew, which need not be done for each of them."""
        if documents <= self._removed.keys():
            return sum(self._removed.pop(one) for one in documents)
        vectors = self._tools.vectors
        async with system_tx(self._tools.db) as tx:
            waiting = await Erasures(tx).documents_waiting(tenant, bot)
        together = documents | (waiting - {document for _, document in self._tools.in_work(tenant)})
        counts = {one: await vectors.count(tenant, bot, one) for one in together}
        await vectors.remove_document(tenant, bot, *together)
        await vectors.purge(tenant, bot)
        self._removed |= {one: counts[one] for one in together - documents}
        return sum(counts[one] for one in documents)

    async def _blobs(self, erasure: Erasure) -> Counts:
        tools, tenant = self._tools, erasure.tenant_id
        if erasure.kind is ErasureKind.TENANT:
            prefixes = [str(tenant)]
        else:
            prefixes = [document_prefix(tenant, DocumentId(one)) for one in erasure.related_uuids("documents")]
        files = 0
        for prefix in prefixes:
            files += await tools.blobs.count(prefix)
            await tools.blobs.delete_prefix(prefix)
        for export in erasure.related_uuids("exports"):
            files += await tools.blobs.count(export_key(tenant, export))
            await tools.blobs.delete(export_key(tenant, export))
        return {"blobs": files}

    async def _redis(self, erasure: Erasure) -> Counts:
        traces, tenant = self._traces, erasure.tenant_id
        return {
            "redis.turns": await traces.remove_replays(tenant, await self._lost_turns(tenant)),
            "redis.answers": await self._answers(erasure),
            "redis.kept_answers": await self._kept_answers(erasure, remove=True),
            "redis.rates": await traces.remove_keys(_buckets(erasure)),
            "redis.events": await traces.remove_events(erasure.needles),
        }

    async def _answers(self, erasure: Erasure) -> int:
        if erasure.kind is ErasureKind.TENANT:
            return await self._traces.remove_all_answers(erasure.tenant_id)
        try:
            cipher = await keys_of(self._tools.db, erasure.tenant_id)
        except Erased:
            return 0  # the company's own erasure removes them all
        return await self._traces.remove_answers(cipher, erasure.needles)

    async def _kept_answers(self, erasure: Erasure, *, remove: bool) -> int:
        """Answers that are kept for other visitors: of a conversation its own, else all that may cite what is gone."""
        kept, tenant = KeptAnswers(self._tools.redis), erasure.tenant_id
        if erasure.kind is ErasureKind.TENANT:
            return await (kept.empty_tenant(tenant) if remove else kept.count_of_tenant(tenant))
        bot = erasure.chatbot_id
        if bot is None:
            return 0
        if erasure.kind is ErasureKind.CHATBOT:
            return await (kept.empty(tenant, bot) if remove else kept.count(tenant, bot))
        if erasure.kind is ErasureKind.DOCUMENT:
            # Others are kept at once, of the documents that there are now: only those of before have to go.
            return await kept.empty(tenant, bot) if remove else 0
        return await kept.of_sessions(tenant, bot, erasure.related.get("sessions", ()), remove=remove)

    async def _lost_turns(self, tenant_id: TenantId) -> set[TurnId]:
        """Turns whose events are kept though the database has no such turn (any more): a turn is stored first."""
        kept = await self._traces.replayed_turns(tenant_id)
        if not kept:
            return set()
        async with system_tx(self._tools.db) as tx:
            return {TurnId(one) for one in kept - await ErasedRows(tx, tenant_id).known_turns(list(kept))}


def _buckets(erasure: Erasure) -> list[str]:
    """Where the calls of those who are erased are counted; what is counted by address has no name in it."""
    tenant, people = str(erasure.tenant_id), erasure.related.get("people", [])
    users = [f"{tenant}|visitor:{one}" for one in erasure.related.get("visitors", [])]
    users += [f"{tenant}|user:{one}" for one in people]
    keys = [bucket_key(kind, "user", user) for kind in _BUCKETS for user in users]
    if erasure.kind is ErasureKind.TENANT:
        keys += [bucket_key(kind, "tenant", tenant) for kind in _BUCKETS]
    return keys
