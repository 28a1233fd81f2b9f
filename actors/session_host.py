"""A process that hosts many tenants' actors and serves their turns on the shared streams."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import structlog

from actors.live_turn import Event
from actors.loops import repeat, run_until_closed
from actors.node import stream_host
from actors.serve_ports import LanceRetriever, ServeEmbedder, ServePlanner, StreamGenerator
from actors.streams import StreamPool, StreamServer
from actors.tenant_actor import TenantActor
from actors.turn_record import TurnRecord
from configs.logs import configure_logs
from configs.settings import Settings
from configs.tables import load_models, load_moderation, load_plans
from domain.errors import InvalidInput, StaleEpoch
from domain.ids import SessionId, TenantId, TurnId
from domain.moderation import RuleGuard
from domain.prompt import Window
from domain.turn import TurnPorts
from storage.models.tokenizer import load_token_counter
from storage.postgres.database import Database, tenant_tx
from storage.postgres.ledger import Ledger
from storage.postgres.turns import Turns
from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry
from storage.vectors import VectorStore

log = structlog.get_logger()

SERVICE = "session-host"
IDLE_SECONDS = 600.0


class SessionHost:
    """Hosts the tenants that hash to its slot. `start` opens everything; the methods of the stream are private."""

    def __init__(self, settings: Settings, slot: int, database_urls: tuple[str, str]) -> None:
        self._settings = settings
        self._slot = slot
        self._database_urls = database_urls
        self._table = load_models(settings.models_file)
        self._tenants: dict[TenantId, TenantActor] = {}
        self._activations: dict[TenantId, asyncio.Lock] = {}
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._address = ""

    async def start(self) -> str:
        """Open pools, ports and the stream server, and announce it; returns the address. Harmless when it runs."""
        async with self._starting:
            if not self._address:
                await self._open()
        return self._address

    async def _open(self) -> None:
        settings = self._settings
        configure_logs(settings)
        self._db = await Database.open(*self._database_urls, max_size=12)
        self._stack.push_async_callback(self._db.close)
        redis = connect_redis(settings.redis_url or "")
        self._stack.push_async_callback(redis.aclose)
        secret = settings.secret_key.get_secret_value()
        pool = StreamPool(secret)
        self._stack.push_async_callback(pool.close)
        self._record = TurnRecord(self._db, self._table)
        self._planner = ServePlanner()
        self._retriever = LanceRetriever(ServeEmbedder(), VectorStore(settings.objects_url))
        self._generator = StreamGenerator(pool)
        self._guard = RuleGuard((rule.name, rule.pattern, rule.refusal) for rule in load_moderation())
        host = stream_host(settings)
        server = await StreamServer.open(
            {"open_session": self._open_session, "submit": self._submit, "follow": self._follow, "stop": self._stop},
            secret=secret,
            host=host,
        )
        self._stack.push_async_callback(server.close)
        self._address = f"{host}:{server.port}"
        endpoint = Endpoint(SERVICE, str(self._slot), self._address)
        announced = EndpointRegistry(redis).keep_announced(lambda: endpoint)
        run_until_closed(self._stack, announced, repeat("passivate", self._passivate, 30))
        log.info("session_host.started", slot=self._slot, address=self._address)

    async def close(self) -> None:
        for actor in self._tenants.values():
            await actor.close()
        await self._stack.aclose()

    async def _open_session(self, payload: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        actor = await self._actor(payload)
        yield await actor.open_session(_session(payload))

    async def _submit(self, payload: dict[str, Any]) -> AsyncGenerator[Event, None]:
        session_id, client_id, text = _session(payload), str(payload["client_id"]), str(payload["text"])
        # The turn's task inherits the context, so that its log lines name the request.
        structlog.contextvars.bind_contextvars(request_id=str(payload.get("request_id", "")))
        actor = await self._actor(payload)
        events = actor.submit(session_id, client_id, text)
        try:
            first = await anext(events)
        except StaleEpoch:
            # Another host had the tenant for a while; nothing was stored, so take it back and try once more.
            self._tenants.pop(actor.tenant_id, None)
            events = (await self._actor(payload)).submit(session_id, client_id, text)
            first = await anext(events)
        yield first
        async for event in events:
            yield event

    async def _follow(self, payload: dict[str, Any]) -> AsyncGenerator[Event, None]:
        actor = await self._actor(payload)
        turn_id = TurnId(_uuid(payload["turn_id"]))
        async for event in actor.follow(_session(payload), turn_id, int(payload.get("seq", 0))):
            yield event

    async def _stop(self, payload: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        actor = await self._actor(payload)
        turn_id = TurnId(_uuid(payload["turn_id"])) if payload.get("turn_id") else None
        yield {"stopped": await actor.stop(_session(payload), turn_id)}

    async def _actor(self, payload: dict[str, Any]) -> TenantActor:
        """The tenant's live object, activated on first use."""
        tenant_id = TenantId(_uuid(payload["tenant_id"]))
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
        """Claim the tenant's epoch, close what earlier hosts left open, and read the month's usage."""
        async with tenant_tx(self._db, tenant_id) as tx:
            turns = Turns(tx, tenant_id)
            await turns.plan_key()
            epoch = await turns.claim_epoch(f"session-host-{self._slot}")
            orphans = await turns.interrupt_orphans(epoch)
            used = await Ledger(tx).tokens_this_month(tenant_id)
        log.info("tenant.activated", tenant=str(tenant_id), epoch=epoch, orphans=orphans)
        return TenantActor(
            tenant_id=tenant_id,
            epoch=epoch,
            used_tokens=used,
            db=self._db,
            plans=load_plans(),
            ports_of=self._ports,
            record=self._record,
            resolve_model=self._resolve_model,
            turn_timeout=self._settings.turn_timeout_seconds,
        )

    def _resolve_model(self, model: str) -> str:
        key = self._settings.default_model if model == "default" else model
        self._table.model(key)
        return key

    def _ports(self, model: str, reserve: Callable[[int], None]) -> TurnPorts:
        spec = self._table.model(model)
        return TurnPorts(
            retriever=self._retriever,
            planner=self._planner,
            generator=self._generator,
            counter=load_token_counter(self._settings, model),
            window=Window(spec.context_tokens, spec.tokens_per_message),
            guard=self._guard,
            reserve=reserve,
        )

    async def _passivate(self) -> None:
        """Let go of tenants that nobody used for a while; PostgreSQL has all they know."""
        horizon = time.monotonic() - IDLE_SECONDS
        for tenant_id, actor in list(self._tenants.items()):
            if not actor.busy and actor.last_used < horizon:
                del self._tenants[tenant_id]


def _uuid(value: Any) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise InvalidInput("An identifier is not valid.") from None


def _session(payload: dict[str, Any]) -> SessionId:
    return SessionId(_uuid(payload["session_id"]))
