"""One evaluation as a Ray task: a process of its own that opens the turn's ports, asks, and ends."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import ray
import structlog

from actors.guarding.host_checks import host_checks
from actors.live_hosts import address_of
from actors.loops import repeat, run_until_closed
from actors.purse import HostPurse
from actors.serve_ports import LanceRetriever, StreamGenerator
from actors.stream_planner import LOOK_SECONDS, StreamPlanner
from actors.streams import StreamPool
from configs.logs import configure_logs
from configs.settings import Settings
from configs.sizing import load_sizing
from configs.tables import load_models
from domain.metering import Meter
from domain.ports import Retriever
from domain.retry_budget import RetryBudget
from domain.turn import TurnPorts
from pipelines.background import background_environment
from pipelines.evaluate import EvaluationPorts, evaluate
from storage.keys import Vault
from storage.models.tokenizer import count_factor, load_token_counter, load_window
from storage.postgres.database import Database
from storage.postgres.documents import StoredDocuments
from storage.postgres.evaluations import Claim
from storage.redis.client import connect_redis
from storage.redis.registry import EndpointRegistry

log = structlog.get_logger()


def ray_runner(settings: Settings, database_urls: tuple[str, str]) -> Callable[[Claim], Awaitable[None]]:
    """What runs an evaluation in a task of the cluster; cancelling it ends the task's process."""
    sizing = load_sizing(settings.profile).evaluation
    # Attempts are counted in the database, whatever ended the one before. A process serves one: it gives its memory
    # back, and what Serve keeps in it belongs to an event loop that is closed.
    task: Any = ray.remote(max_retries=0, max_calls=1)(run_evaluation).options(
        name="evaluation", runtime_env=background_environment(), **sizing.options()
    )

    async def run(claim: Claim) -> None:
        running = task.remote(settings, database_urls, claim)
        try:
            await running
        except asyncio.CancelledError:
            ray.cancel(running, force=True)
            raise

    return run


def run_evaluation(settings: Settings, database_urls: tuple[str, str], claim: Claim) -> None:
    """Returns when the evaluation has ended, or nobody wants it; raises what cut it off."""
    asyncio.run(_run(settings, database_urls, claim))


async def _run(settings: Settings, database_urls: tuple[str, str], claim: Claim) -> None:
    configure_logs(settings)
    async with AsyncExitStack() as stack:
        db = await Database.open(*database_urls, vault=Vault.of(settings), min_size=0, max_size=2)
        stack.push_async_callback(db.close)
        await evaluate(db, claim, await _open_ports(settings, db, stack))


async def _open_ports(settings: Settings, db: Database, stack: AsyncExitStack) -> EvaluationPorts:
    redis = connect_redis(settings.redis_url or "")
    stack.push_async_callback(redis.aclose)
    pool = StreamPool(settings.secret_key.get_secret_value())
    stack.push_async_callback(pool.close)
    registry = EndpointRegistry(redis)
    planner = StreamPlanner(pool, registry)
    stack.push_async_callback(planner.close)
    run_until_closed(stack, repeat("routers", planner.look, LOOK_SECONDS))
    table, generator = load_models(settings.models_file), StreamGenerator(pool)
    guard = await stack.enter_async_context(host_checks(settings))
    retries = RetryBudget()

    def resolve_model(model: str) -> str:
        key = settings.default_model if model == "default" else model
        table.models_behind(key)
        return key

    def turn_ports(model: str, retriever: Retriever, meter: Meter) -> TurnPorts:
        counter = load_token_counter(settings, model)
        return TurnPorts(
            retriever=retriever,
            planner=planner,
            generator=generator,
            counter=counter,
            window=load_window(settings, model, counter),
            guard=guard,
            meter=meter,
            retries=retries,
        )

    def bounds(model: str) -> tuple[int, int]:
        most = table.window(model)[0] * count_factor(load_token_counter(settings, model))
        return most, table.highest_price(model)

    return EvaluationPorts(
        retriever=LanceRetriever.of(settings, StoredDocuments(db)),
        turn_ports=turn_ports,
        resolve_model=resolve_model,
        priced=table.priced,
        bounds=bounds,
        purse=HostPurse(pool, partial(address_of, registry, settings.session_hosts)),
        turn_seconds=settings.turn_timeout_seconds,
    )
