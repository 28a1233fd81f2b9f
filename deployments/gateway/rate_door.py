"""Middleware that counts every call before its body is read, and tells the client how much it has left."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.gateway.bearer import bearer_of
from deployments.gateway.client_address import client_of
from deployments.gateway.errors import error_response, request_id_in
from deployments.gateway.rate_limits import kind_of
from deployments.gateway.services import GatewayServices
from domain.errors import RateLimited


class RateDoor:
    """Chat sockets do not come here: frames, places and turns have limits of their own."""

    def __init__(self, app: ASGIApp, services: GatewayServices) -> None:
        self._app = app
        self._limits = services.limits
        self._tokens = services.tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = kind_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if kind is None:
            await self._app(scope, receive, send)
            return
        subjects = {"address": client_of(scope).address}
        bearer = bearer_of(scope, self._tokens)
        if bearer is not None:
            subjects["user"] = f"{bearer.tenant_id}|{bearer.subject}"
            if bearer.tenant_id is not None:
                subjects["tenant"] = str(bearer.tenant_id)
        standing = await self._limits.take(kind, subjects)
        if standing is None:
            await self._app(scope, receive, send)
            return
        told = standing.headers()

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in told.items():
                    headers[name] = value
            await send(message)

        if standing.refused:
            error = RateLimited("Too many requests; try again a little later.", retry_after=standing.wait_seconds)
            await error_response(error, request_id_in(scope))(scope, receive, send_headers)
            return
        await self._app(scope, receive, send_headers)
