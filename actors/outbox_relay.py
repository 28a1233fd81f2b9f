"""Relays the outbox to the event log and runs its consumers; anchors the audit log, mails, seals, evaluates."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import ray
import ray.exceptions
import structlog

from actors.audit_anchors import MAX_HEADS, anchor_heads
from actors.evaluation_task import ray_runner
from actors.evaluator import EVERY_SECONDS, Evaluator
from actors.loops import repeat, run_until_closed
from actors.mail_sender import MailSender
from actors.resealing import reseal
from billing.account import StripeAccount
from billing.inbox import process_inbox
from configs.logs import configure_logs
from configs.settings import Settings
from configs.sizing import load_sizing
from domain.audit_anchor import KEY_PURPOSE
from domain.errors import Unavailable
from domain.events import EventKind, OutboxEvent
from domain.keys import derive_key
from storage.blobs import BlobStore
from storage.keys import Vault
from storage.mail import open_mailer
from storage.postgres.budget_notices import BudgetNotices
from storage.postgres.database import Database, system_tx
from storage.postgres.ledger import Ledger
from storage.postgres.outbox import Outbox
from storage.redis.client import connect_redis
from storage.redis.event_log import STREAM, EventLog

log = structlog.get_logger()

BATCH = 500
ANCHOR_SECONDS = 60.0
"""How much of the audit log could be cut off unseen, at most."""
RESEAL_SECONDS = 3_600.0
SUPERVISOR = "ingestion-supervisor"
USAGE, BUDGETS = "usage", "budgets"
"""The consumers that record what they have handled; each kind of event that it takes is its own."""


class OutboxRelay:
    """At least once and in order per aggregate: events are marked published after they are in the log."""

    def __init__(self, settings: Settings, database_urls: tuple[str, str]) -> None:
        self._settings = settings
        self._database_urls = database_urls
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._started = False

    async def start(self) -> None:
        """Open everything and begin; harmless when it runs already."""
        async with self._starting:
            if self._started:
                return
            configure_logs(self._settings)
            self._db = await Database.open(*self._database_urls, vault=Vault.of(self._settings), max_size=4)
            self._stack.push_async_callback(self._db.close)
            redis = connect_redis(self._settings.redis_url or "")
            self._stack.push_async_callback(redis.aclose)
            self._log = EventLog(redis, transient=(ray.exceptions.RayError, psycopg.OperationalError))
            self._account = StripeAccount.open(self._settings)
            self._stack.push_async_callback(self._account.close)
            self._blobs = BlobStore(self._settings.objects_url)
            self._anchor_key = derive_key(self._settings.secret_key.get_secret_value(), KEY_PURPOSE)
            if self._settings.smtp_url is None and self._settings.profile == "kubernetes":
                log.warning("mail.goes_to_files", folder=str(self._settings.mail_dir))
            mail = MailSender(self._db, open_mailer(self._settings), self._settings.page_url)
            runner = ray_runner(self._settings, self._database_urls)
            evaluator = Evaluator(self._db, runner, load_sizing(self._settings.profile).evaluation.count)
            self._stack.push_async_callback(evaluator.close)
            run_until_closed(
                self._stack,
                repeat("relay", self._relay, 0.25),
                repeat("evaluations", evaluator.work, EVERY_SECONDS),
                repeat("mail", mail.send_due, 1),
                repeat("relay-again", self._publish_again, 2),
                repeat("relay-trim", self._trim, 3600),
                repeat("audit-anchors", self._anchor, ANCHOR_SECONDS),
                repeat("resealing", self._reseal, RESEAL_SECONDS),
                repeat("webhook-inbox", self._inbox, 2),
                repeat("usage", lambda: self._consume(USAGE, self._count_usage), 1),
                repeat("budgets", lambda: self._consume(BUDGETS, self._mail_budgets), 1),
                repeat("ingestion", lambda: self._consume("ingestion", self._wake_ingestion), 1),
            )
            self._started = True

    async def close(self) -> None:
        await self._stack.aclose()

    async def _relay(self) -> float | None:
        """Publish one batch; returns at once for more when the batch was full."""
        async with system_tx(self._db) as tx:
            outbox = Outbox(tx)
            events = await outbox.take_unpublished(BATCH)
            if not events:
                return None
            await self._log.append(STREAM, events)
            await outbox.mark_published([event.id for event in events])
        return 0.0 if len(events) == BATCH else None

    async def _publish_again(self) -> None:
        """Events that were in Redis alone when it was emptied have not reached their consumers."""
        if not await self._log.was_emptied(STREAM):
            return
        async with system_tx(self._db) as tx:
            count = await Outbox(tx).publish_again([USAGE, BUDGETS])
        await self._log.begin(STREAM)
        if count:
            log.warning("relay.published_again", events=count)

    async def _trim(self) -> None:
        async with system_tx(self._db) as tx:
            await Outbox(tx).trim()

    async def _anchor(self) -> float | None:
        """At once again when more heads changed than one anchor holds."""
        return 0.0 if await anchor_heads(self._db, self._blobs, self._anchor_key) == MAX_HEADS else None

    async def _reseal(self) -> None:
        await reseal(self._db, self._blobs)

    async def _inbox(self) -> None:
        await process_inbox(self._db, self._account)

    async def _consume(self, group: str, handler: Any) -> None:
        await self._log.consume(group, "relay", handler)

    async def _count_usage(self, events: Sequence[OutboxEvent]) -> None:
        """Add completed messages to their days' sums, each once."""
        completed = [event for event in events if event.kind is EventKind.MESSAGE_COMPLETED]
        if completed:
            async with system_tx(self._db) as tx:
                await Ledger(tx).count_turns(USAGE, completed)

    async def _mail_budgets(self, events: Sequence[OutboxEvent]) -> None:
        """Tell owners of budgets that near their end, each event once."""
        reached = [event for event in events if event.kind is EventKind.BUDGET_REACHED]
        if reached:
            async with system_tx(self._db) as tx:
                for event in reached:
                    await BudgetNotices(tx).mail_owners(BUDGETS, event)

    async def _wake_ingestion(self, events: Sequence[OutboxEvent]) -> None:
        """Tell the ingestion supervisor about new and renamed documents; what must be erased, it finds itself."""
        renamed = {
            (str(event.tenant_id), event.payload["chatbot_id"], event.payload["document_id"])
            for event in events
            if event.kind is EventKind.DOCUMENT_RENAMED
        }
        if not renamed and not any(event.kind is EventKind.DOCUMENT_QUEUED for event in events):
            return
        try:
            supervisor: Any = ray.get_actor(SUPERVISOR, "loquent")
        except ValueError as error:
            raise Unavailable("The ingestion supervisor is starting.") from error
        await supervisor.notify.remote()
        for document in renamed:
            await supervisor.rename.remote(*document)
