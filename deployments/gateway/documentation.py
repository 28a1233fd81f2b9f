"""Swagger UI at `/docs`, from the copy that an installed package carries: nothing is loaded from elsewhere."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, HTMLResponse, Response

from domain.errors import NotFound

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Loquent API</title><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
"""
_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#docs", deepLinking: true});\n'


@cache
def _folder() -> Path | None:
    spec = find_spec("fastapi_offline")
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) / "static" if places else None


def install_documentation(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})

    @app.get("/docs/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        if name == "start.js":
            return Response(_START, media_type="text/javascript")
        folder = _folder()
        if name not in _FILES or folder is None:
            raise NotFound
        return FileResponse(folder / name, media_type=_FILES[name], headers={"Cache-Control": "public, max-age=86400"})
