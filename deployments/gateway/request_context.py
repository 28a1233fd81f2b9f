"""Outermost middleware: request id, client, log context, metrics, security headers, and what unknown errors become."""

import re
import time
from contextlib import suppress

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.gateway.client_address import TrustedProxies, client_of
from deployments.gateway.errors import error_response
from deployments.gateway.metrics import GatewayMetrics
from domain.errors import AppError
from domain.ids import new_uuid

log = structlog.get_logger()

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_QUIET = frozenset(("/healthz", "/readyz", "/metrics"))
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
"""For answers of the API; the page sets a policy of its own."""
_HSTS = "max-age=31536000"
"""A year, for this host only: its neighbours are not ours to bind. Sent only where the client came by https."""


class RequestContext:
    """Pure ASGI: it neither buffers a stream nor runs it in another task."""

    def __init__(
        self, app: ASGIApp, metrics: GatewayMetrics, proxies: TrustedProxies, names_request: bool = True
    ) -> None:
        """`names_request` is False where the server around the application adds `X-Request-ID` to its answers.

        Serve does: it takes the caller's id or makes one, hands it on with the request, and adds it to the answer.
        """
        self._app = app
        self._metrics = metrics
        self._proxies = proxies
        self._names_request = names_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        client = self._proxies.client(scope)
        scope.setdefault("state", {}).update(request_id=request_id, client=client)
        with structlog.contextvars.bound_contextvars(request_id=request_id, client=client.address):
            if scope["type"] == "http":
                await self._http(scope, receive, send, request_id)
            else:
                await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        status = 0
        started = time.perf_counter()

        async def send_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                if self._names_request:
                    headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if "frame-ancestors 'none'" in headers["Content-Security-Policy"]:
                    # The older header knows no list, so it is left out where somebody may frame the page.
                    headers["X-Frame-Options"] = "DENY"
                if client_of(scope).secure:
                    headers["Strict-Transport-Security"] = _HSTS
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, send_headers)
        except Exception:
            log.exception("request.failed", method=scope["method"], route=_route(scope))
            _report()
            if status == 0:
                await error_response(AppError(), request_id)(scope, receive, send_headers)
        finally:
            seconds = time.perf_counter() - started
            route = _route(scope)
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._metrics.observe_request(method, route, status, seconds)
            if route not in _QUIET:
                log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))
            structlog.contextvars.unbind_contextvars("tenant_id", "turn_id")


def _request_id(scope: Scope) -> str:
    """The caller's id when it is harmless to log, a new one otherwise."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else new_uuid().hex


def _route(scope: Scope) -> str:
    """The route's template: few values, none of them a customer's."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _report() -> None:
    """Tell Sentry, which is silent unless a DSN is configured."""
    with suppress(ImportError):
        import sentry_sdk

        sentry_sdk.capture_exception()
