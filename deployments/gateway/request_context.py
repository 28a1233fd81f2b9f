"""Outermost middleware: request id, log context, metrics, security headers, and the last word on unknown errors."""

import re
import time
from contextlib import suppress

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
"""For answers of the API; the page sets a policy of its own."""


class RequestContext:
    """Pure ASGI: it neither buffers a stream nor runs it in another task."""

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        with structlog.contextvars.bound_contextvars(request_id=request_id):
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
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
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
