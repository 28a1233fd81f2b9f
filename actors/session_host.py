"""A process that hosts many tenants' actors and serves their turns on the shared streams."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import structlog

from actors.announcements import Announcements
from actors.answer_keeping import keeping_with, open_answers
from actors.fair_share import FairShare
from actors.grants import Grants
from actors.guarding.host_checks import host_checks
from actors.host_parts import HostParts
from actors.live_turn import Event
from actors.loops import repeat, run_until_closed
from actors.node import stream_host
from actors.replay_log import PATIENCE_SECONDS, ReplayLog
from actors.running_turn import TurnTools
from actors.serve_ports import LanceRetriever, StreamGenerator
from actors.session_request import question_of, session_of, uuid_of
from actors.spans import TurnSpans
from actors.stream_planner import LOOK_SECONDS, StreamPlanner
from actors.streams import StreamPool, StreamServer
from actors.summarizer import Summarizer
from actors.tenant_actor import TenantActor
from actors.turn_record import TurnRecord
from configs.logs import configure_logs
from configs.settings import Settings
from configs.tables import load_models, load_plans
from domain.errors import StaleEpoch, Unreadable
from domain.ids import SessionId, TenantId, TurnId
from domain.metering import Meter
from domain.placement import slot_of
from domain.retry_budget import RetryBudget
from domain.trace import TurnTrace
from domain.turn import TurnPorts
from storage.keys import Vault
from storage.models.tokenizer import load_token_counter, load_window
from storage.postgres.database import Database, system_tx, tenant_tx
from storage.postgres.documents import StoredDocuments
from storage.postgres.ledger import Ledger
from storage.postgres.open_turns import OpenTurns, open_turns
from storage.postgres.turns import Turns
from storage.redis.client import connect_redis, connect_redis_for_bytes
from storage.redis.registry import Endpoint, EndpointRegistry
from storage.redis.turn_events import TurnEvents

log = structlog.get_logger()

SERVICE = "session-host"
IDLE_SECONDS = 600.0
WARM_UP_SECONDS = 5.0
"""Until LanceDB is imported, which takes seconds of the interpreter: taking over what a dead host left comes first."""
SWEEP_SECONDS = 1.0
"""How often the host looks for turns that nobody runs."""


class SessionHost:
    """Hosts the tenants that hash to its slot, or one tenant alone.

    `start` opens everything; the methods of the stream are private.
    """

    def __init__(self, settings: Settings, tenant: TenantId | None, database_urls: tuple[str, str]) -> None:
        """`tenant` is the one whose plan gives it a host of its own; others wait for a slot to `take`."""
        self._settings = settings
        self._place: int | TenantId | None = tenant
        self._database_urls = database_urls
        self._table = load_models(settings.models_file)
        self._tenants: dict[TenantId, TenantActor] = {}
        self._activations: dict[TenantId, asyncio.Lock] = {}
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._address = ""
        self._announcements = Announcements()
        self._retries = RetryBudget()

    async def start(self) -> int | None:
        """Open pools, ports and the stream server; returns its slot, if it has one. Harmless when it runs."""
        async with self._starting:
            if not self._address:
                await self._open()
                if self._place is not None:
                    self._serve(self._place)
        return self._place if isinstance(self._place, int) else None

    async def take(self, slot: int) -> None:
        """Serve the tenants of the slot from now on; only for a process that has started and has none."""
        if not self._address or self._place is not None:
            raise RuntimeError(f"not started, or the place is taken: {self._place}")
        self._place = slot
        self._serve(slot)

    async def stay(self) -> None:
        """Never returns: whoever waits for it learns at once that the process is gone."""
        await asyncio.Event().wait()

    async def _open(self) -> None:
        settings = self._settings
        configure_logs(settings)
        self._db = await Database.open(*self._database_urls, vault=Vault.of(settings), max_size=12)
        self._stack.push_async_callback(self._db.close)
        redis = connect_redis(settings.redis_url or "")
        self._stack.push_async_callback(redis.aclose)
        events = connect_redis_for_bytes(settings.redis_url or "", PATIENCE_SECONDS)
        self._stack.push_async_callback(events.aclose)
        secret = settings.secret_key.get_secret_value()
        pool = StreamPool(secret)
        self._stack.push_async_callback(pool.close)
        self._registry = EndpointRegistry(redis)
        self._planner = StreamPlanner(pool, self._registry)
        self._stack.push_async_callback(self._planner.close)
        self._retriever = LanceRetriever.of(settings, StoredDocuments(self._db))
        embedding = self._retriever.embedder_of, self._retriever.remote
        self._answers = open_answers(self._stack, settings, self._db, events, *embedding)
        self._generator = StreamGenerator(pool)
        self._guard = await self._stack.enter_async_context(host_checks(settings))
        if (spans := TurnSpans.open(settings)) is not None:
            self._stack.push_async_callback(spans.close)
        replay, record = ReplayLog(TurnEvents(events)), TurnRecord(self._db, self._table)
        seconds, after = settings.turn_timeout_seconds, keeping_with(self._answers)
        tools = TurnTools(self._db, record, self._ports, seconds, spans, after)
        self._parts = HostParts(
            tools=tools,
            summarizer=Summarizer.within(self._stack, tools),
            plans=load_plans(),
            share=FairShare(settings.max_running_turns),
            replay=replay,
            resolve_model=self._resolve_model,
            announce=self._announcements.publish,
            restart_orphans=settings.orphaned_turns == "restart",
        )
        tenants = self._actor_of, self._tenants.get, lambda tenant: self._tenants.pop(tenant, None)
        grants = Grants.within(self._stack, *tenants, self._table)
        methods = {
            "open_session": self._open_session,
            "submit": self._submit,
            "follow": self._follow,
            "stop": self._stop,
            "watch": self._announcements.watch,
            "erase": self._erase,
            "retrieve": self._retriever.answer,
            "spend": grants.spend,
            "grant": grants.grant,
        }
        server = await StreamServer.open(methods, secret=secret, host=stream_host(settings))
        self._stack.push_async_callback(server.close)
        self._address = f"{stream_host(settings)}:{server.port}"
        run_until_closed(
            self._stack,
            replay.run(),
            repeat("routers", self._planner.look, LOOK_SECONDS),
            repeat("passivate", self._passivate, 30),
            self._warm_up(),
        )
        log.info("session_host.started", address=self._address)

    def _serve(self, place: int | TenantId) -> None:
        """Announce the process as the host of the place, and look after what earlier ones left there."""
        endpoint = Endpoint(SERVICE, str(place), self._address)
        run_until_closed(
            self._stack,
            self._registry.keep_announced(lambda: endpoint),
            repeat("sweep", self._sweep, SWEEP_SECONDS),
        )
        log.info("session_host.serves", place=str(place))

    async def _warm_up(self) -> None:
        await asyncio.sleep(WARM_UP_SECONDS)
        await self._retriever.load()

    async def close(self) -> None:
        for actor in self._tenants.values():
            await actor.close()
        await self._stack.aclose()

    async def _open_session(self, payload: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        actor = await self._actor(payload)
        yield await actor.open_session(session_of(payload))

    async def _submit(self, payload: dict[str, Any]) -> AsyncGenerator[Event, None]:
        session_id, question = session_of(payload), question_of(payload)
        # The turn's task inherits the context, so that its log lines name the request.
        structlog.contextvars.bind_contextvars(request_id=str(payload.get("request_id", "")))
        actor = await self._actor(payload)
        events = actor.submit(session_id, question)
        try:
            first = await anext(events)
        except StaleEpoch:
            # Another host had the tenant for a while; nothing was stored, so take it back and try once more.
            self._tenants.pop(actor.tenant_id, None)
            events = (await self._actor(payload)).submit(session_id, question)
            first = await anext(events)
        yield first
        async for event in events:
            yield event

    async def _follow(self, payload: dict[str, Any]) -> AsyncGenerator[Event, None]:
        actor = await self._actor(payload)
        turn_id = TurnId(uuid_of(payload["turn_id"]))
        epoch = payload.get("epoch")
        after = int(payload.get("seq", 0))
        async for event in actor.follow(session_of(payload), turn_id, after, None if epoch is None else int(epoch)):
            yield event

    async def _stop(self, payload: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        actor = await self._actor(payload)
        turn_id = TurnId(uuid_of(payload["turn_id"])) if payload.get("turn_id") else None
        yield {"stopped": await actor.stop(session_of(payload), turn_id)}

    async def _erase(self, payload: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Let go of erased sessions, or of the whole tenant without `sessions`, and tell the gateways."""
        tenant_id, named = TenantId(uuid_of(payload["tenant_id"])), payload.get("sessions")
        sessions = None if named is None else frozenset(SessionId(uuid_of(one)) for one in named)
        actor = self._tenants.pop(tenant_id, None) if sessions is None else self._tenants.get(tenant_id)
        stopped = await actor.let_go(sessions) if actor is not None else 0
        self._answers.forget(tenant_id)
        self._announcements.erased(tenant_id, sessions)
        yield {"stopped": stopped}

    async def _actor(self, payload: dict[str, Any]) -> TenantActor:
        """The tenant's live object, activated on first use."""
        return await self._actor_of(TenantId(uuid_of(payload["tenant_id"])))

    async def _actor_of(self, tenant_id: TenantId) -> TenantActor:
        actor = self._tenants.get(tenant_id)
        if actor is not None:
            return actor
        async with self._activations.setdefault(tenant_id, asyncio.Lock()):
            actor = self._tenants.get(tenant_id)
            if actor is None:
                actor = self._tenants[tenant_id] = await self._activate(tenant_id)
        self._activations.pop(tenant_id, None)
        return actor

    async def _activate(self, tenant_id: TenantId) -> TenantActor:
        """Claim the tenant's epoch, read the month's usage, and take over what earlier hosts left open."""
        async with tenant_tx(self._db, tenant_id) as tx:
            turns = Turns(tx, tenant_id)
            plan = await turns.plan_key()
            epoch = await turns.claim_epoch(f"session-host-{self._place}")
            spent = await Ledger(tx).month(tenant_id)
        actor = TenantActor(self._parts, tenant_id, epoch, plan, spent)
        taken = await actor.recover()
        log.info("tenant.activated", tenant=str(tenant_id), epoch=epoch, taken_over=taken)
        return actor

    async def _sweep(self) -> None:
        """Take over every open turn of this host's tenants that nobody runs, and bill calls that are lost."""
        async with system_tx(self._db) as tx:
            found = await open_turns(tx)
        for one in found:
            actor = self._tenants.get(one.tenant_id)
            if not self._is_home_of(one) or (actor is not None and one.are_run(actor.runs)):
                continue
            try:
                # Of a tenant that sleeps, the activation does it.
                await (self._actor_of(one.tenant_id) if actor is None else actor.recover())
            except StaleEpoch:
                self._tenants.pop(one.tenant_id, None)
            except Unreadable as error:
                # Erased just now, or tampered with: the other tenants' turns must not wait for it.
                log.error("sweep.unreadable", tenant=str(one.tenant_id), code=error.code)

    def _is_home_of(self, found: OpenTurns) -> bool:
        if not isinstance(self._place, int):
            return found.tenant_id == self._place
        plan = self._parts.plans.get(found.plan)
        dedicated = plan is not None and plan.limits.dedicated_host
        return not dedicated and slot_of(found.tenant_id, self._settings.session_hosts) == self._place

    def _resolve_model(self, model: str) -> str:
        key = self._settings.default_model if model == "default" else model
        self._table.models_behind(key)
        return key

    def _ports(self, model: str, meter: Meter, trace: TurnTrace) -> TurnPorts:
        counter = load_token_counter(self._settings, model)
        return TurnPorts(
            retriever=self._retriever,
            planner=self._planner,
            generator=self._generator,
            counter=counter,
            window=load_window(self._settings, model, counter),
            guard=self._guard,
            meter=meter,
            trace=trace,
            answers=self._answers,
            retries=self._retries,
        )

    async def _passivate(self) -> None:
        """Let go of tenants that nobody used for a while; PostgreSQL has all they know."""
        horizon = time.monotonic() - IDLE_SECONDS
        for tenant_id, actor in list(self._tenants.items()):
            if not actor.busy and actor.last_used < horizon:
                del self._tenants[tenant_id]
