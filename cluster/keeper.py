"""Keeps the detached actors alive: session hosts, outbox relay and ingestion supervisor, on any node of the cluster."""

import asyncio
from contextlib import suppress
from typing import Any

import ray
import structlog

from actors.ingestion_supervisor import IngestionSupervisor
from actors.loops import repeat
from actors.outbox_relay import SUPERVISOR, OutboxRelay
from actors.session_host import SessionHost
from cluster.dedicated_hosts import DedicatedHosts
from configs.settings import Settings
from configs.sizing import ActorSizing, load_sizing
from domain.ids import TenantId
from storage.postgres.migrator import role_urls

log = structlog.get_logger()

NAMESPACE = "loquent"
RELAY = "outbox-relay"


def session_host_name(place: int | TenantId) -> str:
    """Of the host of a slot, or of a tenant alone."""
    return f"session-host-{place}"


class Keeper:
    """A Serve deployment of one replica, so that the actors live wherever the application does.

    Ray restarts the process of a detached actor; what it held is opened anew by `start`, which this calls every
    second and which does nothing on an actor that runs.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sizing = load_sizing(settings.profile)
        self._urls = role_urls(settings.database_url or "", settings.secret_key.get_secret_value())
        self._dedicated = DedicatedHosts(settings, self._urls)
        self._work = asyncio.get_running_loop().create_task(repeat("keeper", self._round, 1.0))
        self._healthy: dict[str, bool] = {}

    async def status(self) -> dict[str, bool]:
        """Which actors answered in the last round, by name."""
        return dict(self._healthy)

    async def check_health(self) -> None:
        """Raises when the loop has ended, so that Serve replaces the replica."""
        if self._work.done():
            raise RuntimeError("the keeper's loop has ended")

    async def _round(self) -> None:
        sizing = self._sizing
        places = [*range(self._settings.session_hosts), *await self._dedicated.tenants()]
        actors: list[tuple[str, type[Any], tuple[Any, ...], ActorSizing]] = [
            *((session_host_name(place), SessionHost, (place,), sizing.session_hosts) for place in places),
            (RELAY, OutboxRelay, (), sizing.relay),
            (SUPERVISOR, IngestionSupervisor, (), sizing.supervisor),
        ]
        results = await asyncio.gather(*(self._keep(*actor) for actor in actors), return_exceptions=True)
        for (name, *_), result in zip(actors, results, strict=True):
            if isinstance(result, BaseException):
                log.warning("keeper.actor_down", actor=name, error=repr(result))
            self._healthy[name] = not isinstance(result, BaseException)
        for name in self._healthy.keys() - {name for name, *_ in actors}:
            self._let_go(name)

    async def _keep(self, name: str, kind: type[Any], arguments: tuple[Any, ...], sizing: ActorSizing) -> None:
        handle: Any = (
            ray.remote(kind)
            .options(
                name=name,
                namespace=NAMESPACE,
                lifetime="detached",
                get_if_exists=True,
                max_restarts=-1,
                max_concurrency=1000,
                **sizing.options(),
            )
            .remote(self._settings, *arguments, self._urls)
        )
        await asyncio.wait_for(handle.start.remote(), 30)

    def _let_go(self, name: str) -> None:
        """End the host of a tenant that has no claim to it any more; the slot's host takes its open turns over."""
        del self._healthy[name]
        with suppress(ValueError):
            ray.kill(ray.get_actor(name, NAMESPACE))
        log.info("keeper.actor_ended", actor=name)
