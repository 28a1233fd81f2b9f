"""The engine replica: opens one engine, serves its generations on a stream server, and announces where it is."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import structlog
from ray import serve
from ray.serve.exceptions import RayServeException
from redis.exceptions import RedisError

from actors.node import stream_host
from actors.streams import StreamServer
from configs.settings import Settings
from configs.tables import load_models
from deployments.llm.admission import Admission
from deployments.llm.announced import SERVICE, STARTING
from deployments.llm.catalog import build_engine
from deployments.llm.coalescing import coalesced, window_of
from deployments.llm.prefix_cache import PrefixCache
from deployments.llm.provider_limits import ProviderLimits
from domain.errors import InvalidInput, Unavailable
from domain.generation import Delta, GenerationRequest
from domain.generation_codec import decode_request, encode_delta
from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry

log = structlog.get_logger(__name__)

STARTING_SECONDS = 300.0
"""How long that is believed of one that says nothing more."""
HEARTBEAT_SECONDS = 1.0
CHANGE_SECONDS = 0.02
"""Changes of limits within this time are announced together."""
HEALTH_SECONDS = 5.0
"""Longest that the engine may take to say that it is well."""


class LlmEngine:
    """Wrap it with `serve.deployment(LlmEngine, ...).bind(settings, engine)`; `settings.redis_url` must be set.

    A replica is ready when its model is loaded. The environment of its process must hold
    `configs.engine_environment.engine_environment(...)`: in Serve, as `env_vars` of the runtime environment.
    """

    _closed = True

    async def __init__(self, settings: Settings, engine: str) -> None:  # type: ignore[misc]  # Serve awaits it
        if settings.redis_url is None:
            raise Unavailable("An engine needs the address of Redis.")
        table = load_models(settings.models_file)
        self._name = engine
        self._spec = table.engines[engine]
        self._models = tuple(table.models_of(engine))
        self._admission = Admission(self._spec.max_running, self._spec.max_queued)
        self._prefixes = PrefixCache()
        self._instance = _replica_id()
        self._alive = True
        self._heart: asyncio.Task[None] | None = None
        self._server: StreamServer | None = None
        self._redis = connect_redis(settings.redis_url)
        self._registry = EndpointRegistry(self._redis)
        self._limits = ProviderLimits()
        self._engine = build_engine(settings, table, engine, self._limits)
        self._closed = False
        try:
            self._host = stream_host(settings)
            await self._open_engine()
            self._server = await StreamServer.open(
                {"generate": self.generate}, secret=settings.secret_key.get_secret_value(), host=self._host
            )
            await self._announce()
            self._heart = asyncio.create_task(self._beat())
        except BaseException:
            await self.close()
            raise
        log.info("engine_ready", engine=engine, models=self._models)

    async def generate(self, payload: Any) -> AsyncGenerator[dict[str, Any], None]:
        """The stream method: items of `domain.generation_codec`. Raises AppErrors; closing it ends the generation."""
        request = decode_request(payload)
        if request.model not in self._models:
            raise InvalidInput(f"The engine does not serve a model named {request.model!r}.")
        if not self._alive:
            raise Unavailable("The language model is restarting; try again.")
        with self._admission.place() as place:
            async with aclosing(place.waiting(self._spec.queue_seconds)) as positions:
                async for position in positions:
                    yield encode_delta(Delta(queued=position))
            async with aclosing(self._deltas(request)) as deltas:
                async for delta in deltas:
                    if delta.usage is not None:
                        self._prefixes.count(delta.usage)
                    yield encode_delta(delta)

    def _deltas(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        return coalesced(self._engine.generate(request), lambda: window_of(self._admission.running))

    async def check_health(self) -> None:
        """Called by Serve, which replaces the replica when this raises."""
        if not await self._healthy():
            raise RuntimeError(f"the engine {self._name} is dead")

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Asked by Serve, for `deployments.llm.scaling`."""
        return {"running": float(self._admission.running), "queued": float(self._admission.queued)}

    async def state(self) -> dict[str, Any]:
        """`engine`, `models`, `running` and `queued`, as announced."""
        return self._info()

    async def close(self) -> None:
        """Withdraw, let go of the streams, and close the engine; safe to call twice."""
        self._closed = True
        self._alive = False
        heart, self._heart = self._heart, None
        if heart is not None:
            heart.cancel()
            await asyncio.wait([heart])
        with contextlib.suppress(RedisError, OSError):
            await self._registry.withdraw(SERVICE, self._instance)
        server, self._server = self._server, None
        if server is not None:
            await server.close()
        await self._engine.close()
        await self._redis.aclose()

    def __del__(self) -> Coroutine[Any, Any, None] | None:
        """Serve awaits what this returns when the replica stops; the garbage collector calls it once more."""
        return None if self._closed else self.close()

    async def _open_engine(self) -> None:
        """Open it, and let the router know for how long that may take: turns wait for a model that starts."""
        state = {"engine": self._name, "models": list(self._models)}
        with contextlib.suppress(RedisError, OSError):
            # Loading a model can hold the event loop, so that nothing could be said again meanwhile.
            await self._registry.announce(Endpoint(STARTING, self._instance, self._host, state), STARTING_SECONDS)
        try:
            await self._engine.open()
        finally:
            with contextlib.suppress(RedisError, OSError):
                await self._registry.withdraw(STARTING, self._instance)

    async def _healthy(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                return await self._engine.healthy()
        except TimeoutError:
            return False

    async def _beat(self) -> None:
        """Announce on a fixed grid, and at once what a provider has said of its limits; a dead engine withdraws at
        once and comes back when it is well again."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + HEARTBEAT_SECONDS, loop.time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._limits.changed.wait()
                await asyncio.sleep(CHANGE_SECONDS)
            self._limits.changed.clear()
            try:
                async with asyncio.timeout(HEALTH_SECONDS + HEARTBEAT_SECONDS):
                    self._alive = await self._healthy()
                    if self._alive and await self._engine.reachable():
                        await self._announce()
                    else:
                        await self._registry.withdraw(SERVICE, self._instance)
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                log.warning("engine_not_announced", engine=self._name, error=type(error).__name__)

    async def _announce(self) -> None:
        assert self._server is not None
        await self._registry.announce(
            Endpoint(SERVICE, self._instance, f"{self._host}:{self._server.port}", self._info())
        )

    def _info(self) -> dict[str, Any]:
        return (
            {
                "engine": self._name,
                "models": list(self._models),
                "running": self._admission.running,
                "queued": self._admission.queued,
            }
            | self._prefixes.info()
            | ({"limited": limited} if (limited := self._limits.remaining()) else {})
        )


def _replica_id() -> str:
    try:
        return str(serve.get_replica_context().replica_id.unique_id)
    except RayServeException:
        return uuid4().hex
