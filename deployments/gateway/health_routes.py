"""Whether the process lives, whether everything it needs answers, and the metrics."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from deployments.gateway.metrics import CONTENT_TYPE
from deployments.gateway.principal import PUBLIC
from deployments.gateway.services import GatewayServices, Services
from storage.postgres.database import ping

router = APIRouter(tags=["operations"])

CHECK_SECONDS = 3.0


class Alive(BaseModel):
    status: str = "ok"


class Check(BaseModel):
    ok: bool
    milliseconds: float
    detail: str | None = None


class Readiness(BaseModel):
    status: str
    checks: dict[str, Check]


@router.get("/healthz", openapi_extra=PUBLIC)
async def healthz() -> Alive:
    """The process answers; says nothing about what it depends on."""
    return Alive()


@router.get("/readyz", openapi_extra=PUBLIC)
async def readyz(services: Services, response: Response) -> Readiness:
    """503 while one of database, Redis, engine and embedder does not answer."""
    probes: dict[str, Callable[[], Awaitable[Any]]] = {
        "database": lambda: ping(services.db),
        "redis": lambda: _redis(services),
        "engine": lambda: _engine(services),
        "embedder": services.probe_embedder,
    }
    found = await asyncio.gather(*(_check(probe) for probe in probes.values()))
    checks = dict(zip(probes, found, strict=True))
    ready = all(check.ok for check in found)
    response.status_code = 200 if ready else 503
    return Readiness(status="ready" if ready else "not ready", checks=checks)


@router.get("/metrics", include_in_schema=False)
async def metrics(services: Services) -> Response:
    return Response(services.metrics.render(), media_type=CONTENT_TYPE)


async def _check(probe: Callable[[], Awaitable[Any]]) -> Check:
    started = time.perf_counter()
    detail = None
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await probe()
    except Exception as error:  # noqa: BLE001 - whatever a probe raises is its answer
        # The kind only: messages of drivers name hosts and users.
        detail = type(error).__name__
    return Check(ok=detail is None, milliseconds=round((time.perf_counter() - started) * 1000, 1), detail=detail)


async def _redis(services: GatewayServices) -> None:
    await services.redis.ping()


async def _engine(services: GatewayServices) -> None:
    if not await services.registry.list("engine"):
        raise LookupError("no engine is announced")
