"""Takes chat sockets out of the application's way: they pass no route, no dependency and no body limit.

What a socket passes through stays on its stack for as long as it is open. FastAPI's way costs 11 KB for each.
"""

import re
import sys

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.gateway.chat_socket import CLOSE_SECONDS, ChatSocket
from deployments.gateway.closing import POLICY, CloseSocket
from deployments.gateway.errors import request_id_in
from deployments.gateway.incoming import origin_allowed
from deployments.gateway.page_origin import PageOrigin
from deployments.gateway.services import GatewayServices
from domain.errors import Unavailable
from domain.prompting.audience import locale_of

_PATH = re.compile(r"/chatbots/([^/]+)/sessions/([^/]+)/ws")


class SocketDoor:
    """Pure ASGI; everything that is no chat socket goes on to the application."""

    def __init__(self, app: ASGIApp, services: GatewayServices) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = None
        if scope["type"] == "websocket":
            found = _PATH.fullmatch(scope["path"].removeprefix(scope.get("root_path", "")))
        if found is None:
            await self._app(scope, receive, send)
            return
        services = self._services
        await receive()  # websocket.connect
        headers = Headers(scope=scope)
        if not origin_allowed(headers, services.settings.allowed_origins):
            # Not accepted: the browser gets 403 for the handshake.
            await send({"type": "websocket.close", "code": POLICY})
            return
        services.drain.served_at = scope.get("server")
        await send({"type": "websocket.accept"})
        try:
            services.drain.require_open()
            services.census.enter()
        except Unavailable as error:
            refusal = CloseSocket.because_of(error)
            services.metrics.socket_closes.labels(str(refusal.code)).inc()
            await refusal.send(send, CLOSE_SECONDS)
            return
        services.metrics.sockets.inc()
        try:
            # They would stay in memory for as long as the socket is open.
            page = PageOrigin(headers.get("origin"))
            locale = sys.intern(locale_of(headers.get("accept-language", "")))
            scope["headers"] = []
            del headers
            await ChatSocket(services, request_id_in(scope), page, locale, receive, send).run(*found.groups())
        finally:
            services.metrics.sockets.dec()
            services.census.leave()
