"""Finds the process that holds a tenant's live sessions, and streams turns from it across its failures."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from hashlib import blake2b
from typing import Any, Protocol

import structlog

from deployments.gateway.services import Event, Registry
from domain.errors import Unavailable
from domain.ids import SessionId, TenantId, TurnId

log = structlog.get_logger()

SERVICE = "session-host"
_FRESH_SECONDS = 1.0
_PATIENCE_SECONDS = 15.0
"""How long a caller waits for a host that is being restarted."""
_PAUSE_SECONDS = 0.25


class Streams(Protocol):
    def stream(self, address: str, method: str, payload: Any) -> AsyncGenerator[Any, None]: ...

    async def call(self, address: str, method: str, payload: Any) -> Any: ...


def slot_of(tenant_id: TenantId, slots: int) -> int:
    """The tenant's slot by rendezvous hashing: with one slot more, only one tenant in `slots + 1` moves.

    Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
    """
    return max(range(slots), key=lambda slot: blake2b(tenant_id.bytes + slot.to_bytes(4), digest_size=8).digest())


class SessionHosts:
    """The `Conversations` of the real system. Every call is idempotent, so a lost host is simply asked again."""

    def __init__(self, streams: Streams, registry: Registry, slots: int) -> None:
        self._streams = streams
        self._registry = registry
        self._slots = slots
        self._addresses: dict[str, str] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def open_session(self, tenant_id: TenantId, session_id: SessionId, connection_id: str) -> Event:
        payload = {"tenant_id": str(tenant_id), "session_id": str(session_id), "connection_id": connection_id}
        answer: Event = await self._call(tenant_id, "open_session", payload)
        return answer

    async def stop(self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId | None) -> None:
        payload = {
            "tenant_id": str(tenant_id),
            "session_id": str(session_id),
            "turn_id": str(turn_id) if turn_id else None,
        }
        await self._call(tenant_id, "stop", payload)

    async def submit(
        self, tenant_id: TenantId, session_id: SessionId, client_id: str, text: str, request_id: str
    ) -> AsyncGenerator[Event, None]:
        payload = {
            "tenant_id": str(tenant_id),
            "session_id": str(session_id),
            "client_id": client_id,
            "text": text,
            "request_id": request_id,
        }
        async with aclosing(self._stream(tenant_id, session_id, "submit", payload)) as events:
            async for event in events:
                yield event

    async def follow(
        self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId, seq: int
    ) -> AsyncGenerator[Event, None]:
        payload = _follow_payload(tenant_id, session_id, str(turn_id), seq)
        async with aclosing(self._stream(tenant_id, session_id, "follow", payload)) as events:
            async for event in events:
                yield event

    async def _call(self, tenant_id: TenantId, method: str, payload: Any) -> Any:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return await self._streams.call(await self._address(tenant_id), method, payload)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                await self._pause()

    async def _stream(
        self, tenant_id: TenantId, session_id: SessionId, method: str, payload: dict[str, Any]
    ) -> AsyncGenerator[Event, None]:
        """Events of one turn; after a lost connection the rest is asked for by `follow`."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                address = await self._address(tenant_id)
                async with aclosing(self._streams.stream(address, method, payload)) as events:
                    async for event in events:
                        yield event
                        method = "follow"
                        payload = _follow_payload(tenant_id, session_id, event["turn"], event["seq"])
                        deadline = time.monotonic() + _PATIENCE_SECONDS
                        if event["k"] in ("done", "error"):
                            return
                return
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                log.warning("session_host.lost", method=method)
                await self._pause()

    async def _pause(self) -> None:
        """Wait a little and look the addresses up again."""
        self._read_at = float("-inf")
        await asyncio.sleep(_PAUSE_SECONDS)

    async def _address(self, tenant_id: TenantId) -> str:
        """Raises Unavailable while the tenant's host is not announced."""
        if time.monotonic() - self._read_at > _FRESH_SECONDS:
            async with self._reading:
                if time.monotonic() - self._read_at > _FRESH_SECONDS:
                    found = await self._registry.list(SERVICE)
                    self._addresses = {endpoint.instance: endpoint.address for endpoint in found}
                    self._read_at = time.monotonic()
        address = self._addresses.get(str(slot_of(tenant_id, self._slots)))
        if address is None:
            raise Unavailable("The conversation's process is starting; try again.", retry_after=2)
        return address


def _follow_payload(tenant_id: TenantId, session_id: SessionId, turn_id: str, seq: int) -> dict[str, Any]:
    return {"tenant_id": str(tenant_id), "session_id": str(session_id), "turn_id": turn_id, "seq": seq}
