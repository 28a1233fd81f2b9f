"""The router replica: opens the router, serves its plans on a stream server, and announces where it is."""

from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import structlog

from actors.loops import run_until_closed
from actors.node import stream_host
from actors.stream_planner import SERVICE
from actors.streams import StreamServer
from configs.settings import Settings
from deployments.llm.router import LlmRouter
from domain.errors import AppError, InvalidInput
from domain.generation_codec import decode_plan_request, encode_plan
from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry

log = structlog.get_logger(__name__)

MOST_FAILURES = 16
"""Counted of one report: a breaker is open long before."""


class RouterReplica:
    """Wrap it with `serve.deployment(RouterReplica, ...).bind(settings)`; `settings.redis_url` must be set."""

    _stack: AsyncExitStack | None = None

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]  # Serve awaits it
        self._router = LlmRouter(settings)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._router.close)
            redis = connect_redis(settings.redis_url or "")
            stack.push_async_callback(redis.aclose)
            host = stream_host(settings)
            server = await StreamServer.open(
                {"plan": self._plan, "report": self._report},
                secret=settings.secret_key.get_secret_value(),
                host=host,
            )
            stack.push_async_callback(server.close)
            endpoint = Endpoint(SERVICE, uuid4().hex, f"{host}:{server.port}")
            run_until_closed(stack, EndpointRegistry(redis).keep_announced(lambda: endpoint))
            self._stack = stack.pop_all()
        log.info("router_ready", address=endpoint.address)

    async def _plan(self, payload: Any) -> AsyncGenerator[dict[str, Any], None]:
        """One item: the plan, or `refused`, which is an answer and not a failure of this replica."""
        try:
            plan = await self._router.plan(decode_plan_request(payload))
        except AppError as error:
            yield {"refused": [error.code, error.message, error.retry_after]}
        else:
            yield encode_plan(plan)

    async def _report(self, payload: Any) -> AsyncGenerator[None, None]:
        """`[engine, address, successes, failures, seconds to the first token or null]`; the failures came last."""
        try:
            engine, address, successes, failures, ttft = payload
            place, counts = (str(engine), str(address)), (int(successes), int(failures))
            seconds = None if ttft is None else float(ttft)
        except (TypeError, ValueError):
            raise InvalidInput("The report has the wrong shape.") from None
        if counts == (0, 0):
            await self._router.report(*place, None, seconds)
        if counts[0] > 0:
            await self._router.report(*place, True, seconds, counts[0])
        for _ in range(min(counts[1], MOST_FAILURES)):
            await self._router.report(*place, False)
        yield None

    async def check_health(self) -> None:
        """Called by Serve, which replaces the replica when this raises."""
        await self._router.check_health()

    async def close(self) -> None:
        """Withdraw, and end what runs; safe to call twice."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    def __del__(self) -> Coroutine[Any, Any, None] | None:
        """Serve awaits what this returns when the replica stops; the garbage collector calls it once more."""
        return None if self._stack is None else self.close()
