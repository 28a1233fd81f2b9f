"""The gateway as a Serve ingress: opens the services of a replica and gives Serve the application."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve

from actors.loops import repeat, run_until_closed
from actors.outbox_relay import SUPERVISOR
from actors.purse import HostPurse
from actors.serve_ports import APPLICATION, ServeEmbedder
from actors.streams import StreamPool
from configs.logs import configure_logs
from configs.settings import Settings
from deployments.gateway.application import build_app
from deployments.gateway.host_addresses import HostAddresses
from deployments.gateway.open_access import LOOK_SECONDS
from deployments.gateway.replacement import drain_when_replaced
from deployments.gateway.services import GatewayServices
from deployments.gateway.session_hosts import SessionHosts
from storage.blobs import BlobStore
from storage.keys import Vault
from storage.postgres.database import Database
from storage.postgres.migrator import role_urls
from storage.redis.client import connect_redis
from storage.redis.registry import EndpointRegistry

PAGE_DIR = Path(__file__).parents[2] / "web" / "dist"


@serve.ingress()
class Gateway:
    """The one routed deployment. `dependencies` are handles of the others, bound so that Serve deploys them."""

    async def __init__(self, settings: Settings, dependencies: list[Any]) -> None:  # type: ignore[misc]
        configure_logs(settings)
        self._dependencies = dependencies
        self._stack = AsyncExitStack()
        urls = role_urls(settings.database_url or "", settings.secret_key.get_secret_value())
        db = await Database.open(*urls, vault=Vault.of(settings), max_size=10)
        self._stack.push_async_callback(db.close)
        redis = connect_redis(settings.redis_url or "")
        self._stack.push_async_callback(redis.aclose)
        pool = StreamPool(settings.secret_key.get_secret_value())
        self._stack.push_async_callback(pool.close)
        registry = EndpointRegistry(redis)
        addresses = HostAddresses(registry, settings.session_hosts)
        hosts = SessionHosts(pool, addresses)
        self._services = GatewayServices(
            settings=settings,
            db=db,
            redis=redis,
            blobs=BlobStore(settings.objects_url),
            registry=registry,
            conversations=hosts,
            notify_ingestion=_notify_ingestion,
            probe_embedder=_probe_embedder,
            purse=HostPurse(pool, addresses.asked_again),
            embed=ServeEmbedder().embed,
            page_dir=PAGE_DIR if PAGE_DIR.is_dir() else None,
        )
        self._stack.push_async_callback(self._services.identity.close)
        tabs, drain, access = self._services.tabs, self._services.drain, self._services.access
        self._stack.push_async_callback(tabs.close)
        run_until_closed(
            self._stack,
            repeat("watch", partial(tabs.watch, hosts), 1),
            repeat("replacement", partial(drain_when_replaced, drain), 1),
            repeat("access-announced", access.listen, 1),
            repeat("access", access.look, LOOK_SECONDS),
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_app(self._services, behind_serve=True)

    async def __del__(self) -> None:
        await self._stack.aclose()


async def _notify_ingestion() -> None:
    supervisor: Any = ray.get_actor(SUPERVISOR, APPLICATION)
    async with asyncio.timeout(1):
        await supervisor.notify.remote()


async def _probe_embedder() -> None:
    embedder: Any = serve.get_deployment_handle("Embedder", APPLICATION)
    await embedder.dimension.remote()
