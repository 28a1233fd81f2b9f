"""Middleware for `Idempotency-Key`: a POST that is sent again gets the first one's answer, and nothing happens twice.

Source: draft-ietf-httpapi-idempotency-key-header.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog
from redis.exceptions import RedisError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.gateway.bearer import bearer_of, token_in
from deployments.gateway.errors import error_response, request_id_in
from deployments.gateway.fingerprint import Fingerprint
from deployments.gateway.page_origin import PageOrigin
from deployments.gateway.principal import verified_chatter
from deployments.gateway.services import GatewayServices
from deployments.gateway.tokens import Bearer
from deployments.gateway.upload import MAX_FILES
from domain.errors import AppError, Conflict, InvalidInput, Unavailable
from storage.keys import TenantCipher
from storage.postgres.tenant_keys import keys_of
from storage.redis.replays import LEASE_SECONDS, Replays, StoredAnswer

log = structlog.get_logger()

MAX_BODY_BYTES = 256 * 1024
"""Of an answer that is kept."""
RETRY_SECONDS = 1.0
_FORM_BYTES = 64 * 1024
"""Beside each file of an upload."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT = ("content-type", "location")
_NEVER = re.compile(r"/(?:auth|api-keys|webhooks)(?:/.*)?|/chatbots/[^/]+/visitors|/invitations/accept|/tenants")
"""Their answers hold tokens or keys, or their events carry an id of their own."""


class KeyReused(Conflict):
    code, default = "idempotency_key_reused", "This Idempotency-Key was used for another request."


class KeyInUse(Conflict):
    code, default = "idempotency_key_in_use", "The first request with this Idempotency-Key is still at work."


class Idempotency:
    """Only successes are kept: a refusal has done nothing, and may be another one next time."""

    def __init__(self, app: ASGIApp, services: GatewayServices) -> None:
        self._app = app
        self._services = services
        self._replays = Replays(services.redis)
        self._db = services.db
        self._max_bytes = (services.settings.max_upload_bytes + _FORM_BYTES) * MAX_FILES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).getlist("idempotency-key") if _takes_part(scope) else []
        bearer = bearer_of(scope, self._services.tokens) if given else None
        if bearer is None:
            await self._app(scope, receive, send)
            return
        work: ASGIApp
        try:
            if len(given) > 1 or not _KEY.fullmatch(given[0]):
                raise InvalidInput("An Idempotency-Key is 1 to 255 printable ASCII characters without spaces.")
            # A stored answer is given by no route that would ask whether the token still counts.
            page = PageOrigin.of(Headers(scope=scope), scope["method"])
            verified = await verified_chatter(self._services, token_in(scope) or "", page)
            key = _record(bearer, scope, given[0])
            cipher = await keys_of(self._db, verified.chatter.tenant_id)
            claim = await self._claim(key, cipher)
            if isinstance(claim, StoredAnswer):
                work = await _replay(claim, scope, receive, self._max_bytes)
            else:
                work = partial(self._first, key, claim, cipher)
        except AppError as error:
            work = error_response(error, request_id_in(scope))
        await work(scope, receive, send)

    async def _claim(self, key: str, cipher: TenantCipher) -> str | StoredAnswer:
        """Raises KeyInUse, and Unavailable without Redis: whoever sends a key wants no second try without it."""
        try:
            claim = await self._replays.claim(key, cipher)
        except RedisError as error:
            raise Unavailable(retry_after=RETRY_SECONDS) from error
        if claim is None:
            raise KeyInUse(retry_after=RETRY_SECONDS)
        return claim

    async def _first(
        self, key: str, owner: str, cipher: TenantCipher, scope: Scope, receive: Receive, send: Send
    ) -> None:
        watched = _Watched(Fingerprint(Headers(scope=scope).get("content-type", "")), receive)
        stored = False

        async def send_last(message: Message) -> None:
            """The answer is kept before its end is sent: a client that has it may repeat at once."""
            nonlocal stored
            ends = message["type"] == "http.response.body" and not message.get("more_body", False)
            watched.note(message)
            if ends and (answer := await watched.answer()) is not None:
                stored = True
                await self._settle(key, owner, (answer, cipher))
            await send(message)

        try:
            async with self._renewed(key, owner):
                await self._app(scope, watched.receive, send_last)
        except Exception:
            # A 500. What a cancelled request has done nobody knows: its claim ends by itself.
            if not stored:
                await self._settle(key, owner, None)
            raise
        if not stored:
            await self._settle(key, owner, None)

    async def _settle(self, key: str, owner: str, answer: tuple[StoredAnswer, TenantCipher] | None) -> None:
        """Keep the answer, or give the claim back; without Redis the claim ends by itself."""
        try:
            if answer is None:
                await self._replays.release(key, owner)
            elif not await self._replays.store(key, owner, *answer):
                log.warning("idempotency.claim_lost")
        except RedisError as error:
            log.warning("idempotency.not_stored", error=type(error).__name__)

    @asynccontextmanager
    async def _renewed(self, key: str, owner: str) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(LEASE_SECONDS / 3)
                with suppress(RedisError):
                    await self._replays.renew(key, owner)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()


class _Watched:
    """A request and its answer, noted as they pass."""

    def __init__(self, fingerprint: Fingerprint, receive: Receive) -> None:
        self._fingerprint = fingerprint
        self._receive = receive
        self._complete = False
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: bytearray | None = bytearray()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self._complete:
            self._fingerprint.update(message.get("body", b""))
            self._complete = not message.get("more_body", False)
        return message

    def note(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = Headers(raw=message["headers"])
            self._headers = {name: headers[name] for name in _KEPT if name in headers}
        elif message["type"] == "http.response.body" and self._body is not None:
            self._body += message.get("body", b"")
            if len(self._body) > MAX_BODY_BYTES:
                self._body = None

    async def answer(self) -> StoredAnswer | None:
        """None for what is not kept. Reads what the route has left of the body: it belongs to the fingerprint."""
        stream = self._headers.get("content-type", "").startswith("text/event-stream")
        if not 200 <= self._status < 300 or stream:
            return None
        while not self._complete:
            if (await self.receive())["type"] != "http.request":
                return None
        # latin-1 gives every byte back.
        body = self._body.decode("latin-1") if self._body is not None else None
        return StoredAnswer(self._fingerprint.value(), self._status, self._headers, body)


def _takes_part(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] == "POST"
        and not _NEVER.fullmatch(scope["path"])
        and "text/event-stream" not in Headers(scope=scope).get("accept", "")
    )


def _record(bearer: Bearer, scope: Scope, key: str) -> str:
    """Where the answer is kept: of this person of this tenant, at this address only."""
    parts = (
        bearer.subject,
        scope["path"],
        scope.get("query_string", b"").decode("latin-1"),
        key,
    )
    return f"idempotency:{bearer.tenant_id}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}"


async def _replay(answer: StoredAnswer, scope: Scope, receive: Receive, max_bytes: int) -> Response:
    """The stored answer, once the body has turned out to be the same. Raises KeyReused, Conflict, InvalidInput."""
    size = 0
    fingerprint = Fingerprint(Headers(scope=scope).get("content-type", ""))
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidInput("The request was cut off; send it again.")
        fingerprint.update(message.get("body", b""))
        size += len(message.get("body", b""))
        if size > max_bytes:
            raise KeyReused
        more = message.get("more_body", False)
    if fingerprint.value() != answer.fingerprint:
        raise KeyReused
    if answer.body is None:
        raise Conflict("The request was carried out; its answer was too large to keep.")
    headers = {**answer.headers, "Idempotency-Replayed": "true"}
    return Response(answer.body.encode("latin-1"), answer.status, headers)
