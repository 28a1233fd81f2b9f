"""Finds the process that holds a tenant's live sessions, and streams turns from it across its failures."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

import structlog

from deployments.gateway.host_addresses import HostAddresses
from deployments.gateway.services import Event
from domain.answer_form import encode_form
from domain.conversation import Question
from domain.errors import Unavailable
from domain.ids import SessionId, TenantId, TurnId
from domain.retrieval.codec import decode_retrieval, encode_request
from domain.retrieval.result import Retrieval, RetrievalRequest

log = structlog.get_logger()

_PATIENCE_SECONDS = 15.0
"""How long a caller waits for a host that is being restarted."""
_PAUSE_SECONDS = 0.25


class Streams(Protocol):
    def stream(self, address: str, method: str, payload: Any) -> AsyncGenerator[Any, None]: ...

    async def call(self, address: str, method: str, payload: Any) -> Any: ...


class SessionHosts:
    """The `Conversations` of the real system. Every call is idempotent, so a lost host is simply asked again."""

    def __init__(self, streams: Streams, addresses: HostAddresses) -> None:
        self._streams = streams
        self._addresses = addresses

    async def open_session(self, tenant_id: TenantId, session_id: SessionId) -> Event:
        answer: Event = await self._call(tenant_id, "open_session", _payload(tenant_id, session_id))
        return answer

    async def stop(self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId | None) -> bool:
        payload = _payload(tenant_id, session_id, turn_id=str(turn_id) if turn_id else None)
        return bool((await self._call(tenant_id, "stop", payload))["stopped"])

    async def retrieve(self, request: RetrievalRequest) -> Retrieval:
        return decode_retrieval(await self._call(request.tenant_id, "retrieve", encode_request(request)))

    async def submit(
        self, tenant_id: TenantId, session_id: SessionId, question: Question, request_id: str
    ) -> AsyncGenerator[Event, None]:
        payload = _payload(
            tenant_id,
            session_id,
            client_id=question.client_id,
            text=question.text,
            edits=str(question.edits) if question.edits else None,
            regenerates=str(question.regenerates) if question.regenerates else None,
            locale=question.locale,
            form=encode_form(question.form),
            request_id=request_id,
        )
        async with aclosing(self._stream(tenant_id, session_id, "submit", payload)) as events:
            async for event in events:
                yield event

    async def follow(
        self, tenant_id: TenantId, session_id: SessionId, turn_id: TurnId, seq: int, epoch: int | None = None
    ) -> AsyncGenerator[Event, None]:
        payload = _payload(tenant_id, session_id, turn_id=str(turn_id), seq=seq, epoch=epoch)
        async with aclosing(self._stream(tenant_id, session_id, "follow", payload)) as events:
            async for event in events:
                yield event

    async def hosts(self) -> list[str]:
        """The names of the hosts known, to `watch` them."""
        return await self._addresses.names()

    async def watch(self, host: str) -> AsyncGenerator[dict[str, Any], None]:
        """`{"tenant", "session", "turn"}` of every turn that begins on a host. Raises Unavailable when it is lost."""
        try:
            async with aclosing(self._streams.stream(await self._addresses.of(host), "watch", {})) as items:
                async for item in items:
                    yield item
        except Unavailable:
            await self._addresses.lost(host)
            raise

    async def _call(self, tenant_id: TenantId, method: str, payload: Any) -> Any:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            host = await self._addresses.host_of(tenant_id)
            try:
                return await self._streams.call(await self._addresses.of(host), method, payload)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                await self._pause(host)

    async def _stream(
        self, tenant_id: TenantId, session_id: SessionId, method: str, payload: dict[str, Any]
    ) -> AsyncGenerator[Event, None]:
        """Events of one turn; after a lost connection the rest is asked for by `follow`."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            host = await self._addresses.host_of(tenant_id)
            try:
                address = await self._addresses.of(host)
                async with aclosing(self._streams.stream(address, method, payload)) as events:
                    async for event in events:
                        yield event
                        method = "follow"
                        turn_id, seq, epoch = event["turn"], event["seq"], event["epoch"]
                        payload = _payload(tenant_id, session_id, turn_id=turn_id, seq=seq, epoch=epoch)
                        deadline = time.monotonic() + _PATIENCE_SECONDS
                        if event["k"] in ("done", "error"):
                            return
                return
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                log.warning("session_host.lost", method=method, host=host)
                await self._pause(host)

    async def _pause(self, host: str) -> None:
        """Wait a little and look the addresses up again."""
        await asyncio.sleep(_PAUSE_SECONDS)
        await self._addresses.lost(host)


def _payload(tenant_id: TenantId, session_id: SessionId, **fields: Any) -> dict[str, Any]:
    return {"tenant_id": str(tenant_id), "session_id": str(session_id), **fields}
