"""The router: answers which engines to try for a model, and learns from how the attempts end."""

import asyncio
import time
from collections import Counter
from typing import Any

import structlog
from redis.exceptions import RedisError

from configs.settings import Settings
from configs.tables import ModelSpec, load_models
from deployments.llm.breaker import BreakerBoard
from deployments.llm.policy import order_candidates
from domain.errors import InvalidInput, Unavailable
from domain.generation import EngineTarget, Plan
from domain.routing import BreakerState, Candidate
from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry

log = structlog.get_logger(__name__)

SERVICE = "engine"
FRESH_SECONDS = 0.5
STALE_SECONDS = 60.0
"""How long the last list of engines is used while Redis does not answer; engines that are gone are passed over."""
EMPTY_SECONDS = 5.0
"""How long it is used when Redis knows of no engine at all: an emptied server hears of them again within seconds."""
LIST_SECONDS = 2.0


class LlmRouter:
    """The router of one process; `settings.redis_url` must be set."""

    def __init__(self, settings: Settings) -> None:
        if settings.redis_url is None:
            raise Unavailable("The router needs the address of Redis.")
        self._default_model = settings.default_model
        self._table = load_models(settings.models_file)
        self._redis = connect_redis(settings.redis_url)
        self._registry = EndpointRegistry(self._redis)
        self._breakers = BreakerBoard()
        self._endpoints: list[Endpoint] = []
        self._read_at = self._read_next = float("-inf")
        self._planned: Counter[str] = Counter()
        """Plans per address since the last reading, which the announced load does not know of yet."""
        self._lock = asyncio.Lock()

    async def plan(self, tenant_id: str, model: str, prompt_tokens: int) -> Plan:
        """Engines to try in order for `prompt_tokens` of prompt.

        Raises InvalidInput for an unknown model or a prompt that cannot fit, Unavailable when no engine is healthy.
        """
        key = self._default_model if model == "default" else model
        spec = self._table.model(key)
        if prompt_tokens >= spec.context_tokens:
            raise InvalidInput("The conversation is too long for this model.")
        candidates = self._candidates(key, spec, await self._live())
        chosen = order_candidates(candidates)
        if not chosen:
            log.warning("no_engine", model=key, tenant_id=tenant_id, seen=len(candidates))
            raise Unavailable("No language model is available at the moment; try again soon.", retry_after=5.0)
        first = chosen[0]
        self._planned[first.address] += 1
        if first.breaker is BreakerState.HALF_OPEN:
            self._breakers.start_probe(first.engine, first.address)
        return Plan(
            targets=tuple(EngineTarget(one.engine, key, one.address) for one in chosen),
            reason=_reason(first),
            detail={"model": key, "load": round(first.load, 3), "candidates": len(candidates)},
        )

    async def report(self, engine: str, address: str, ok: bool) -> None:
        """How an attempt ended. A refusal of the request itself is not a failure of the engine: report it as ok."""
        before = self._breakers.state(engine, address)
        self._breakers.record(engine, address, ok)
        after = self._breakers.state(engine, address)
        if before is not after:
            log.info("breaker_changed", engine=engine, address=address, before=before, after=after)

    async def engines(self) -> list[dict[str, Any]]:
        """Every live replica with its announced state and its breaker, for readiness checks."""
        live = await self._live()
        return [
            {**one.info, "address": one.address, "breaker": self._breakers.state(_engine(one), one.address).value}
            for one in live
        ]

    async def check_health(self) -> None:
        """Always well while it answers: without Redis there is nothing that a restart would mend."""

    async def close(self) -> None:
        await self._redis.aclose()

    def _candidates(self, key: str, spec: ModelSpec, live: list[Endpoint]) -> list[Candidate]:
        found = []
        for one in live:
            name = _engine(one)
            if name not in spec.engines or key not in one.info.get("models", ()):
                continue
            engine = self._table.engines[name]
            found.append(
                Candidate(
                    engine=name,
                    address=one.address,
                    preference=spec.engines.index(name),
                    running=int(one.info.get("running", 0)) + self._planned[one.address],
                    queued=int(one.info.get("queued", 0)),
                    max_running=engine.max_running,
                    max_queued=engine.max_queued,
                    breaker=self._breakers.state(name, one.address),
                )
            )
        return found

    async def _live(self) -> list[Endpoint]:
        """The announced engines, read at most every half second and by one caller at a time."""
        async with self._lock:
            now = time.monotonic()
            if now < self._read_next:
                return self._endpoints
            self._read_next = now + FRESH_SECONDS
            try:
                async with asyncio.timeout(LIST_SECONDS):
                    listed = await self._registry.list(SERVICE)
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                log.warning("engines_not_listed", error=type(error).__name__)
                self._read_next = time.monotonic() + FRESH_SECONDS
                if now - self._read_at > STALE_SECONDS:
                    self._endpoints = []
                return self._endpoints
            if not listed and now - self._read_at < EMPTY_SECONDS:
                return self._endpoints
            self._endpoints = listed
            self._read_at = now
            self._planned.clear()
            self._breakers.forget_absent({(_engine(one), one.address) for one in self._endpoints})
            return self._endpoints


def _engine(endpoint: Endpoint) -> str:
    return str(endpoint.info.get("engine", ""))


def _reason(first: Candidate) -> str:
    if first.breaker is BreakerState.HALF_OPEN:
        return "probe"
    if first.full:
        return "all full"
    return "preferred" if first.preference == 0 else "fallback"
