"""What the gateway's routes work with: opened by the replica, given to the application, closed by the replica."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends
from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from configs.identity import load_identity
from configs.settings import Settings
from deployments.gateway.census import SocketCensus
from deployments.gateway.device_cookie import DeviceCookies
from deployments.gateway.drain import Drain
from deployments.gateway.metrics import GatewayMetrics
from deployments.gateway.oidc.provider import OidcProviders
from deployments.gateway.open_access import OpenAccess
from deployments.gateway.open_tabs import OpenTabs
from deployments.gateway.passwords import Passwords
from deployments.gateway.rate_limits import RateLimits
from deployments.gateway.tokens import AccessTokens
from domain.conversation import Question
from domain.ids import SessionId, TenantId, TurnId
from domain.metering import Purse
from domain.retrieval.result import Retrieval, RetrievalRequest
from domain.web_address import networks_of
from storage.postgres.database import Database
from storage.user_secrets import UserSecrets
from storage.web import SafeFetcher

KEY_SEATS = 2

Event = dict[str, Any]
"""One event of a turn, as a session host sends it: `{"k": kind, "turn": id, "epoch": e, "seq": n, ...}`."""


class Conversations(Protocol):
    """The tenants' live sessions, wherever their host runs. Every method raises AppError."""

    async def open_session(self, tenant_id: TenantId, session_id: SessionId) -> Event:
        """`{"chatbot_id", "chatbot_name", "greeting", "visitor_id": id | None, "max_connections",
        "consent": {"policy_url", "policy_version"} | None,
        "active_turn": {"turn_id", "epoch", "seq"} | None, "undelivered": [{"turn_id", "message_id"}]}`."""

    def submit(
        self, tenant_id: TenantId, session_id: SessionId, question: Question, request_id: str
    ) -> AsyncGenerator[Event, None]:
        """Commit a question and stream its turn: `ack` first, `done` or `error` last."""

    def follow(
        self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId, seq: int, epoch: int | None = None
    ) -> AsyncGenerator[Event, None]:
        """The events of a turn after `seq`, the last that the caller has, which was of `epoch`."""

    async def stop(self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId | None) -> bool:
        """End the running turn, or `turn_id` only; what was written stays. False when none runs."""

    async def retrieve(self, request: RetrievalRequest) -> Retrieval:
        """What a turn would find, without one."""

    async def hosts(self) -> list[str]:
        """The names of the session hosts known, to `watch` them."""

    def watch(self, host: str) -> AsyncGenerator[dict[str, Any], None]:
        """`{"tenant", "session", "turn"}` of every turn that begins on a host, and `{"tenant", "erased": [session] |
        None}` of sessions, or all, that were erased; raises Unavailable when it is lost."""


class Blobs(Protocol):
    async def put(self, key: str, data: bytes) -> None: ...

    async def get(self, key: str) -> bytes: ...

    def stream(self, key: str) -> AsyncIterator[bytes]: ...

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
    purse: Purse
    """Whom what is used beside turns is asked for and told to."""
    embed: Callable[[list[str]], Awaitable[list[list[float]]]]
    """One unit vector for each text, of the model that documents are searched with. Raises AppError."""
    page_dir: Path | None = None
    """The built chat page; None when there is none."""
    tokens: AccessTokens = field(init=False)
    passwords: Passwords = field(init=False)
    metrics: GatewayMetrics = field(init=False)
    census: SocketCensus = field(init=False)
    tabs: OpenTabs = field(init=False)
    drain: Drain = field(init=False)
    limits: RateLimits = field(init=False)
    user_secrets: UserSecrets = field(init=False)
    identity: OidcProviders = field(init=False)
    """Whoever opened the services closes it."""
    fetcher: SafeFetcher = field(init=False)
    access: OpenAccess = field(init=False)
    devices: DeviceCookies = field(init=False)
    key_seats: asyncio.Semaphore = field(init=False)
    """Held while an API key is looked up, so that a flood of keys leaves the system's connections to log-ins."""

    preview_seat: asyncio.Semaphore = field(init=False)
    """Held while a preview of chunks is computed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", AccessTokens(self.settings))
        object.__setattr__(self, "passwords", Passwords())
        object.__setattr__(self, "metrics", GatewayMetrics())
        object.__setattr__(self, "census", SocketCensus(self.settings.max_sockets))
        object.__setattr__(self, "tabs", OpenTabs())
        object.__setattr__(self, "drain", Drain())
        object.__setattr__(self, "limits", RateLimits(self.redis, self.settings.rate_limit_factor))
        object.__setattr__(self, "user_secrets", UserSecrets(self.settings.secret_key.get_secret_value()))
        tables = load_identity(self.settings.identity_file)
        object.__setattr__(self, "identity", OidcProviders(tables, self.settings.page_url))
        object.__setattr__(self, "fetcher", SafeFetcher(networks_of(self.settings.fetch_networks)))
        object.__setattr__(self, "access", OpenAccess(self.db, self.redis))
        object.__setattr__(self, "devices", DeviceCookies(self.settings))
        object.__setattr__(self, "key_seats", asyncio.Semaphore(KEY_SEATS))
        object.__setattr__(self, "preview_seat", asyncio.Semaphore(1))


async def services_of(connection: HTTPConnection) -> GatewayServices:
    services: GatewayServices = connection.app.state.services
    return services


# Dependencies are coroutines even when they wait for nothing: FastAPI runs plain functions in a thread.
Services = Annotated[GatewayServices, Depends(services_of)]
Cursor = UUID | None
