"""The router: answers which engines to try for a model, and learns from how the attempts end."""

import asyncio
import time
from collections import Counter
from typing import Any, NoReturn

import structlog
from redis.exceptions import RedisError

from configs.settings import Settings
from configs.tables import load_models
from deployments.llm.announced import SERVICE, STARTING
from deployments.llm.breaker import BreakerBoard
from deployments.llm.history import History
from deployments.llm.model_choice import choose_models
from deployments.llm.plan_reason import described, reason_of
from deployments.llm.policy import order_candidates
from domain.errors import InvalidInput, ModelStarting, RateLimited, Unavailable
from domain.generation import EngineTarget, Plan, PlanRequest
from domain.routing import BreakerState, Candidate
from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry

log = structlog.get_logger(__name__)

SHOWN_CANDIDATES = 16
"""In the details of a plan."""
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
        self._history = History()
        self._limits: dict[tuple[str, str], float] = {}
        self._endpoints: list[Endpoint] = []
        self._read_at = self._read_next = float("-inf")
        self._planned: Counter[str] = Counter()
        """Plans per address since the last reading, which the announced load does not know of yet."""
        self._lock = asyncio.Lock()

    async def plan(self, request: PlanRequest) -> Plan:
        """Engines to try in order.

        Raises InvalidInput for an unknown model or a prompt that cannot fit, ModelStarting, RateLimited while the
        providers take nothing, Unavailable when no engine is healthy.
        """
        name = self._default_model if request.model == "default" else request.model
        choice = choose_models(self._table, name, request)
        models = [key for key in choice.models if request.prompt_tokens < self._table.model(key).context_tokens]
        if not models:
            raise InvalidInput("The conversation is too long for this model.")
        live = await self._live()
        candidates = [one for tier, key in enumerate(models) for one in self._candidates(key, tier, live)]
        chosen = order_candidates(candidates, request.session_id)
        if not chosen:
            await self._give_up(request, models, candidates)
        first = chosen[0]
        self._planned[first.address] += 1
        if first.breaker is BreakerState.HALF_OPEN:
            self._breakers.start_probe(first.engine, first.address)
        return Plan(
            targets=tuple(self._target(one) for one in self._tries(chosen)),
            reason=reason_of(choice, models[0], first, candidates, request.session_id),
            detail={
                "model": first.model,
                "load": round(first.load, 3),
                "difficulty": request.difficulty,
                "signals": list(request.signals),
                "candidates": [described(one) for one in candidates[:SHOWN_CANDIDATES]],
            },
            hedge_after_seconds=choice.hedge_after_seconds,
        )

    async def report(
        self, engine: str, address: str, ok: bool | None, ttft: float | None = None, count: int = 1
    ) -> None:
        """How `count` attempts ended, and the mean of the seconds to their first tokens.

        A refusal of the request itself is not a failure of the engine: report it as ok. None is an attempt that was
        given up because another was quicker.
        """
        place = engine, address
        self._history.record(place, count if ok else 0, count if ok is False else 0, ttft)
        if ok is None:
            return
        before = self._breakers.state(engine, address)
        self._breakers.record(engine, address, ok)
        after = self._breakers.state(engine, address)
        if before is not BreakerState.CLOSED and after is BreakerState.CLOSED:
            self._history.forgive(place)
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

    async def _give_up(self, request: PlanRequest, models: list[str], candidates: list[Candidate]) -> NoReturn:
        """Say why there is no plan, and when to ask again."""
        if limited := [one.limited_seconds for one in candidates if one.limited_seconds > 0]:
            raise RateLimited("The language model is busy; try again in a moment.", retry_after=min(limited))
        if not candidates and await self._starting(models):
            raise ModelStarting(retry_after=1.0)
        log.warning("no_engine", models=models, tenant_id=str(request.tenant_id), seen=len(candidates))
        raise Unavailable("No language model is available at the moment; try again soon.", retry_after=5.0)

    async def _starting(self, models: list[str]) -> bool:
        try:
            async with asyncio.timeout(LIST_SECONDS):
                found = await self._registry.list(STARTING)
        except (RedisError, OSError):  # TimeoutError is an OSError
            return False
        return any(key in one.info.get("models", ()) for one in found for key in models)

    def _tries(self, chosen: list[Candidate]) -> list[Candidate]:
        """A provider that has no substitute is asked once more: its faults often pass at once."""
        alone = len(chosen) == 1 and not self._table.engines[chosen[0].engine].local
        return chosen * 2 if alone else chosen

    def _target(self, one: Candidate) -> EngineTarget:
        spec = self._table.engines[one.engine]
        return EngineTarget(one.engine, one.model, one.address, spec.patience_seconds, spec.queue_seconds)

    def _candidates(self, key: str, tier: int, live: list[Endpoint]) -> list[Candidate]:
        engines = self._table.model(key).engines
        now, found = time.monotonic(), []
        for one in live:
            name = _engine(one)
            if name not in engines or key not in one.info.get("models", ()):
                continue
            spec, place = self._table.engines[name], (name, one.address)
            found.append(
                Candidate(
                    engine=name,
                    address=one.address,
                    preference=engines.index(name),
                    running=int(one.info.get("running", 0)) + self._planned[one.address],
                    queued=int(one.info.get("queued", 0)),
                    max_running=spec.max_running,
                    max_queued=spec.max_queued,
                    breaker=self._breakers.state(*place),
                    model=key,
                    tier=tier,
                    failing=self._history.failing(place),
                    ttft=self._history.ttft(place),
                    limited_seconds=self._limits.get((name, key), now) - now,
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
            self._limits = _limits_of(listed)
            present = {(_engine(one), one.address) for one in listed}
            self._breakers.forget_absent(present)
            self._history.forget_absent(present)
            return self._endpoints


def _limits_of(listed: list[Endpoint]) -> dict[tuple[str, str], float]:
    """Until when a provider takes nothing more, by engine and model: replicas of an engine share its key."""
    limits: dict[tuple[str, str], float] = {}
    now = time.monotonic()
    for one in listed:
        for model, seconds in one.info.get("limited", {}).items():
            place = _engine(one), str(model)
            limits[place] = max(limits.get(place, now), now + float(seconds))
    return limits


def _engine(endpoint: Endpoint) -> str:
    return str(endpoint.info.get("engine", ""))
