"""The built chat page: static files at `/`, and `index.html` for the addresses that the page makes up itself."""

from pathlib import Path

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from domain.errors import NotFound

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'"
)
"""Nothing from elsewhere, no inline script. The component library writes style elements as it runs, whose hashes
nobody knows beforehand, hence inline styles. Who may frame the page is added from the settings."""
_API = frozenset(
    (
        "api-keys",
        "audit",
        "auth",
        "billing",
        "chatbots",
        "docs",
        "healthz",
        "invitations",
        "knowledgebase",
        "me",
        "members",
        "metrics",
        "openapi.json",
        "plans",
        "platform",
        "readyz",
        "subscriptions",
        "tenant",
        "tenants",
        "webhooks",
    )
)
"""First path elements that are never the page's."""
_FOREVER = "public, max-age=31536000, immutable"
_MAX_PATH = 1_000


class ChatPage:
    """ASGI: answers what no route has. Raises Starlette's 404 for everything that is not the page's."""

    def __init__(self, folder: Path | None, frame_ancestors: tuple[str, ...] = ()) -> None:
        self._folder = folder.resolve() if folder else None
        ancestors = " ".join(frame_ancestors) or "'none'"
        self._policy = f"{PAGE_POLICY}; frame-ancestors {ancestors}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        response = await self._respond(Request(scope))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        path = request.url.path
        first = path.lstrip("/").partition("/")[0]
        if request.method not in ("GET", "HEAD") or first in _API or len(path) > _MAX_PATH:
            raise HTTPException(404)
        file = await anyio.to_thread.run_sync(self._find, path)
        if file is not None:
            # Names in /assets carry a hash of the content.
            return self._answer(file, _FOREVER if first == "assets" else "no-cache")
        # A missing file with an extension is missing; anything else a browser asks for is the page itself.
        if "." in path or (path != "/" and "text/html" not in request.headers.get("accept", "")):
            raise HTTPException(404)
        index = await anyio.to_thread.run_sync(self._find, "/index.html")
        if index is None:
            raise NotFound("The chat page is not built; run `make run`.")
        return self._answer(index, "no-cache")

    def _find(self, path: str) -> Path | None:
        """The file of a path, never one outside the folder."""
        if self._folder is None or "\x00" in path:
            return None
        try:
            file = (self._folder / path.lstrip("/")).resolve()
            found = file.is_relative_to(self._folder) and file.is_file()
        except (OSError, ValueError):
            return None
        return file if found else None

    def _answer(self, file: Path, cache: str) -> Response:
        return FileResponse(file, headers={"Cache-Control": cache, "Content-Security-Policy": self._policy})
