"""What the gateway's routes work with: opened by the replica, given to the application, closed by the replica."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends
from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from configs.settings import Settings
from deployments.gateway.census import SocketCensus
from deployments.gateway.metrics import GatewayMetrics
from deployments.gateway.passwords import Passwords
from deployments.gateway.tokens import AccessTokens
from domain.ids import SessionId, TenantId, TurnId
from storage.postgres.database import Database

Event = dict[str, Any]
"""One event of a turn, as a session host sends it: `{"k": kind, "turn": id, "seq": n, ...}`."""


class Conversations(Protocol):
    """The tenants' live sessions, wherever their host runs. Every method raises AppError."""

    async def open_session(self, tenant_id: TenantId, session_id: SessionId, connection_id: str) -> Event:
        """`{"session_id", "chatbot_id", "chatbot_name", "greeting", "active_turn": {"turn_id", "seq"} | None}`."""

    def submit(
        self, tenant_id: TenantId, session_id: SessionId, client_id: str, text: str, request_id: str
    ) -> AsyncGenerator[Event, None]:
        """Commit a question and stream its turn: `ack` first, `done` or `error` last."""

    def follow(
        self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId, seq: int
    ) -> AsyncGenerator[Event, None]:
        """The events of a turn after `seq`."""

    async def stop(self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId | None) -> None:
        """End the running turn; what was written stays."""


class Blobs(Protocol):
    async def put(self, key: str, data: bytes) -> None: ...

    async def get(self, key: str) -> bytes: ...

    async def delete_prefix(self, prefix: str) -> Any: ...


class Registry(Protocol):
    async def list(self, service: str) -> Any:
        """The live endpoints of a service."""


@dataclass(frozen=True)
class GatewayServices:
    settings: Settings
    db: Database
    redis: Redis
    blobs: Blobs
    registry: Registry
    conversations: Conversations
    notify_ingestion: Callable[[], Awaitable[None]]
    """Tell the ingestion supervisor that documents wait; it also looks by itself, so a failure loses nothing."""
    probe_embedder: Callable[[], Awaitable[None]]
    """Returns when the embedder answers, raises otherwise."""
    page_dir: Path | None = None
    """The built chat page; None when there is none."""
    tokens: AccessTokens = field(init=False)
    passwords: Passwords = field(init=False)
    metrics: GatewayMetrics = field(init=False)
    census: SocketCensus = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", AccessTokens(self.settings))
        object.__setattr__(self, "passwords", Passwords())
        object.__setattr__(self, "metrics", GatewayMetrics())
        object.__setattr__(self, "census", SocketCensus(self.settings.max_sockets))


def services_of(connection: HTTPConnection) -> GatewayServices:
    services: GatewayServices = connection.app.state.services
    return services


Services = Annotated[GatewayServices, Depends(services_of)]
Cursor = UUID | None
