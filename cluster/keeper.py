"""Keeps the detached actors alive: session hosts, outbox relay and ingestion supervisor, on any node of the cluster."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import ray
import structlog

from actors.ingestion_supervisor import IngestionSupervisor
from actors.loops import repeat
from actors.outbox_relay import SUPERVISOR, OutboxRelay
from actors.session_host import SessionHost
from cluster.dedicated_hosts import DedicatedHosts
from cluster.host_pool import HostPool
from configs.settings import Settings
from configs.sizing import ActorSizing, load_sizing
from domain.ids import TenantId
from storage.postgres.migrator import role_urls

log = structlog.get_logger()

NAMESPACE = "loquent"
RELAY = "outbox-relay"


class Keeper:
    """A Serve deployment of one replica, so that the actors live wherever the application does.

    Ray restarts the process of a detached actor; what it held is opened anew by `start`, which this calls every
    second and which does nothing on an actor that runs. The hosts of the slots are a pool of their own.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sizing = load_sizing(settings.profile)
        self._urls = role_urls(settings.database_url or "", settings.secret_key.get_secret_value())
        self._dedicated = DedicatedHosts(settings, self._urls)
        self._hosts = HostPool(settings.session_hosts, self._host)
        self._work = asyncio.gather(self._hosts.run(), repeat("keeper", self._round, 1.0))
        self._healthy: dict[str, bool] = {}

    async def status(self) -> dict[str, bool]:
        """Which actors answered in the last round, by name."""
        return self._hosts.healthy | self._healthy

    async def check_health(self) -> None:
        """Raises when the loop has ended, so that Serve replaces the replica."""
        if self._work.done():
            raise RuntimeError("the keeper's loop has ended")

    async def _round(self) -> None:
        makers: dict[str, Callable[[str], Any]] = {
            **{
                f"session-host-{tenant}": partial(self._host, tenant=tenant)
                for tenant in await self._dedicated.tenants()
            },
            RELAY: partial(self._actor, OutboxRelay, self._sizing.relay),
            SUPERVISOR: partial(self._actor, IngestionSupervisor, self._sizing.supervisor),
        }
        for tenant in await self._dedicated.tenants():
            makers[f"session-host-{tenant}"] = partial(self._host, tenant=tenant)
        starts = (asyncio.wait_for(make(name).start.remote(), 30) for name, make in makers.items())
        results = await asyncio.gather(*starts, return_exceptions=True)
        for name, result in zip(makers, results, strict=True):
            if isinstance(result, BaseException):
                log.warning("keeper.actor_down", actor=name, error=repr(result))
            self._healthy[name] = not isinstance(result, BaseException)
        for name in self._healthy.keys() - makers.keys():
            self._let_go(name)

    def _host(self, name: str, tenant: TenantId | None = None) -> Any:
        return self._actor(SessionHost, self._sizing.session_hosts, name, tenant)

    def _actor(self, kind: type[Any], sizing: ActorSizing, name: str, *arguments: Any) -> Any:
        """The actor of a name, made when there is none."""
        return (
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

    def _let_go(self, name: str) -> None:
        """End the host of a tenant that has no claim to it any more; the slot's host takes its open turns over."""
        del self._healthy[name]
        with suppress(ValueError):
            ray.kill(ray.get_actor(name, NAMESPACE))
        log.info("keeper.actor_ended", actor=name)
