"""The eraser: works requested erasures off, step by step, until a search of every store finds nothing."""

from contextlib import AsyncExitStack
from dataclasses import replace

import structlog

from actors.erasure_steps import ErasureSteps, ErasureTools, InWork, NotYet
from actors.live_hosts import LiveHosts
from actors.streams import StreamPool
from billing.account import StripeAccount
from configs.settings import Settings
from domain.audit import Action, ActorKind, Origin, Target
from domain.erasure import Erasure, Step, added, receipt_of, steps_of
from storage.blobs import BlobStore
from storage.postgres.audit import Audit
from storage.postgres.database import Database, system_tx
from storage.postgres.erasures import Erasures
from storage.receipts import ReceiptSigner
from storage.redis.client import connect_redis
from storage.redis.registry import EndpointRegistry
from storage.vectors.store import VectorStore

log = structlog.get_logger()

EVERY_SECONDS = 1.0
BATCH = 20
WAIT_SECONDS = 0.5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 300.0
PLATFORM = Origin(ActorKind.SYSTEM)


class Eraser:
    """One per platform, in the process that writes the vector tables. It never gives up, and a step may run twice."""

    def __init__(self, tools: ErasureTools, signer: ReceiptSigner) -> None:
        self._db = tools.db
        self._steps = ErasureSteps(tools)
        self._signer = signer

    async def work(self) -> float | None:
        """One round over what is due; at once again when there was as much as a round takes."""
        async with system_tx(self._db) as tx:
            due = await Erasures(tx).due(BATCH)
        for erasure in due:
            await self._try(erasure)
        return 0.0 if len(due) == BATCH else None

    async def _try(self, erasure: Erasure) -> None:
        """One attempt, and when the next one comes."""
        again = False
        try:
            left = await self._erase(erasure)
            if not left:
                return
            again, pause, error = True, WAIT_SECONDS, f"left: {', '.join(sorted(left))}"
            log.info("erasure.again", erasure=str(erasure.id), left=left)
        except NotYet as reason:
            pause, error = WAIT_SECONDS, str(reason)
        except Exception as failure:  # noqa: BLE001 - whatever a store says, the erasure stays to be done
            pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(erasure.attempts, 16), LONGEST_PAUSE_SECONDS)
            error = type(failure).__name__
            log.warning("erasure.delayed", erasure=str(erasure.id), seconds=pause, error=repr(failure))
        async with system_tx(self._db) as tx:
            await Erasures(tx).postpone(erasure, pause, error, again=again)

    async def _erase(self, erasure: Erasure) -> dict[str, int]:
        """Do the steps that are not done; what the search at the end has found. Raises NotYet and what stores raise."""
        async with system_tx(self._db) as tx:
            if not await Erasures(tx).start(erasure):
                return {}
        for step in steps_of(erasure.kind):
            if step not in erasure.steps and step is not Step.VERIFY:
                erasure = await self._do(step, erasure)
        left = await self._steps.left(erasure)
        if not left:
            await self._finish(erasure)
        return left

    async def _do(self, step: Step, erasure: Erasure) -> Erasure:
        """The erasure after the step; a database's step and its record are one transaction."""
        counts = {}
        if step not in (Step.ACCESS, Step.KEYS, Step.ROWS, Step.EVENTS):
            counts = await self._steps.outside(step, erasure)
        async with system_tx(self._db) as tx:
            counts |= await self._steps.in_transaction(tx, step, erasure) or {}
            done = replace(erasure, steps=(*erasure.steps, step), counts=added(erasure.counts, counts))
            await Erasures(tx).finish_step(done, done.steps, done.counts, done.related)
        return done

    async def _finish(self, erasure: Erasure) -> None:
        async with system_tx(self._db) as tx:
            erasures = Erasures(tx)
            now = await erasures.now()
            receipt = self._signer.sign(receipt_of(erasure, now, erasure.counts))
            if await erasures.finish(erasure, now, receipt, erasure.counts):
                target = Target("erasure", str(erasure.id))
                details = {"kind": erasure.kind.value, "erased": sum(erasure.counts.values())}
                await Audit(tx).append(erasure.tenant_id, PLATFORM, Action.ERASURE_DONE, target, details)
        log.info("erasure.done", erasure=str(erasure.id), kind=erasure.kind.value)


def open_tools(
    stack: AsyncExitStack, settings: Settings, db: Database, vectors: VectorStore, blobs: BlobStore, in_work: InWork
) -> ErasureTools:
    """The real stores; the stack closes what is opened here."""
    redis = connect_redis(settings.redis_url or "")
    stack.push_async_callback(redis.aclose)
    pool = StreamPool(settings.secret_key.get_secret_value())
    stack.push_async_callback(pool.close)
    account = StripeAccount.open(settings)
    stack.push_async_callback(account.close)
    hosts = LiveHosts(EndpointRegistry(redis), pool)
    return ErasureTools(db, vectors, blobs, redis, hosts, account, in_work)
