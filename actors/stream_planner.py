"""Planner over the router's replicas, on the stream that this process shares with each of them."""

import asyncio
from collections.abc import Sequence

import structlog
from redis.exceptions import RedisError

from actors.streams import StreamPool
from domain.errors import AppError, Unavailable, error_of
from domain.generation import EngineTarget, Plan, PlanRequest
from domain.generation_codec import decode_plan, encode_plan_request
from storage.redis.registry import EndpointRegistry

log = structlog.get_logger()

SERVICE = "router"
TRY_AGAIN_SECONDS = (0.1, 0.3, 0.6, 1.0, 2.0, 3.0)
"""Between the tries of a call whose replica is gone: Serve has another one within seconds."""
LOOK_SECONDS = 1.0
"""How often the replicas are listed again."""
LIST_SECONDS = 1.0
CALL_SECONDS = 4.0
"""A replica that is frozen is passed over after that."""
REPORT_SECONDS = 1.0


class StreamPlanner:
    """Run `repeat("routers", planner.look, LOOK_SECONDS)` beside it, so that no turn waits for the registry."""

    def __init__(self, pool: StreamPool, registry: EndpointRegistry) -> None:
        self._pool = pool
        self._registry = registry
        self._routers: list[str] = []
        """Addresses; the first one is asked next. While Redis is away, those it named last."""
        self._well: dict[tuple[str, str], _Well] = {}
        """By engine and address."""
        self._reports: set[asyncio.Task[None]] = set()

    async def look(self) -> None:
        """List the replicas anew."""
        try:
            async with asyncio.timeout(LIST_SECONDS):
                found = [endpoint.address for endpoint in await self._registry.list(SERVICE)]
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            log.warning("routers.not_listed", error=type(error).__name__)
            return
        if found:
            # Those that stay keep their turn.
            self._routers = sorted(found, key=lambda one: self._routers.index(one) if one in self._routers else -1)

    async def plan(self, request: PlanRequest) -> Plan:
        """Raises what the router says, and Unavailable when no replica answers."""
        payload = encode_plan_request(request)
        for pause in (*TRY_AGAIN_SECONDS, None):
            if not self._routers:
                await self.look()
            if self._routers:
                # In turn; one that fails is asked last.
                router = self._routers.pop(0)
                self._routers.append(router)
                try:
                    async with asyncio.timeout(CALL_SECONDS):
                        answer = await self._pool.call(router, "plan", payload)
                except (Unavailable, TimeoutError) as error:
                    log.warning("router.lost", address=router, error=type(error).__name__)
                else:
                    if "refused" in answer:
                        raise error_of(*answer["refused"])
                    return decode_plan(answer)
            if pause is not None:
                await asyncio.sleep(pause)
                await self.look()
        raise Unavailable

    async def report(self, target: EngineTarget, ok: bool | None, ttft: float | None = None) -> None:
        """Failures at once, with what went well before them; what went well alone once in a while."""
        # A lost report only delays a breaker; the turn must not wait for it or fail by it.
        place = (target.engine, target.address)
        if ok:
            if place not in self._well:
                self._well[place] = _Well()
                asyncio.get_running_loop().call_later(REPORT_SECONDS, self._report_well, place)
            self._well[place].add(ttft)
        elif ok is None:
            self._tell(place, _Well(), 0, ttft)
        else:
            self._tell(place, self._well.pop(place, _Well()), 1)

    async def close(self) -> None:
        for task in self._reports:
            task.cancel()
        await asyncio.gather(*self._reports, return_exceptions=True)

    def _report_well(self, place: tuple[str, str]) -> None:
        if well := self._well.pop(place, None):
            self._tell(place, well, 0)

    def _tell(self, place: tuple[str, str], well: "_Well", failed: int, ttft: float | None = None) -> None:
        """Every replica has breakers of its own."""
        report = [*place, well.count, failed, well.ttft if ttft is None else ttft]
        for router in self._routers:
            task = asyncio.create_task(self._send(router, report))
            self._reports.add(task)
            task.add_done_callback(self._reports.discard)

    async def _send(self, router: str, report: Sequence[object]) -> None:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._pool.call(router, "report", list(report))
        except (AppError, TimeoutError) as error:
            log.warning("router.report_lost", address=router, error=type(error).__name__)


class _Well:
    """Attempts that went well since the last report."""

    def __init__(self) -> None:
        self.count = 0
        self._timed = 0
        self._seconds = 0.0

    def add(self, ttft: float | None) -> None:
        self.count += 1
        if ttft is not None:
            self._timed += 1
            self._seconds += ttft

    @property
    def ttft(self) -> float | None:
        """The mean."""
        return self._seconds / self._timed if self._timed else None
