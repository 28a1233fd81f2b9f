"""The one HTTP client for identity providers: JSON only, small, soon, and never redirected elsewhere."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import structlog

from deployments.gateway.oidc.refusals import IdentityInvalid
from domain.errors import Unavailable

log = structlog.get_logger()

MAX_BYTES = 256 * 1024
SECONDS = 5.0
"""For a whole answer."""
# Not compressed: a small answer could be a large one.
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class ProviderHttp:
    def __init__(self, http: httpx.AsyncClient | None = None) -> None:
        self._http = http

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Raises Unavailable for whatever is not a JSON object with status 200."""
        return await self._object("GET", url, headers=headers)

    async def post(self, url: str, form: Mapping[str, str], auth: tuple[str, str] | None) -> dict[str, Any]:
        """Raises as `get` does, and IdentityInvalid for a status 400 or 401: what was sent did not count."""
        return await self._object("POST", url, data=dict(form), auth=auth)

    async def _object(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        try:
            async with asyncio.timeout(SECONDS):
                status, body = await self._answer(method, url, options)
            if status in (400, 401) and method == "POST":
                log.warning("oidc.exchange_refused", status=status)
                raise IdentityInvalid
            if status != 200:
                raise ValueError(f"status {status}")
            found = json.loads(body)
            if not isinstance(found, dict):
                raise TypeError("the answer is no JSON object")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, TypeError, RecursionError) as error:
            log.warning("oidc.provider_failed", host=_host(url), error=type(error).__name__, reason=str(error)[:200])
            raise Unavailable("The identity provider does not answer; try again.") from error
        return found

    async def _answer(self, method: str, url: str, options: dict[str, Any]) -> tuple[int, bytes]:
        if self._http is None:
            self._http = httpx.AsyncClient(follow_redirects=False, timeout=SECONDS)
        headers = {**_HEADERS, **(options.pop("headers", None) or {})}
        async with self._http.stream(method, url, headers=headers, **options) as answer:
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("the answer is compressed")
            body = bytearray()
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError("the answer is too large")
            return answer.status_code, bytes(body)


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host
    except httpx.InvalidURL:
        return ""
