"""Maps every error to `{"error": {"code", "message", "request_id"}}` with the right status."""

import math
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from domain.errors import AppError, Forbidden, InvalidInput, NotAuthenticated, NotFound, TooLarge, Unavailable

log = structlog.get_logger()

METHOD_NOT_ALLOWED = "This address does not take this method."
_UNREADABLE = "The body is not valid JSON."


def error_body(code: str, message: str, request_id: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "request_id": request_id}}


def error_response(error: AppError, request_id: str, status: int | None = None) -> JSONResponse:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        error_body(error.code, error.message, request_id), status_code=status or error.status, headers=headers
    )


def request_id_in(scope: Scope) -> str:
    """The request's id; empty only when the middleware that makes it did not run."""
    return str(scope.get("state", {}).get("request_id", ""))


def validation_sentence(errors: list[dict[str, Any]]) -> str:
    """What is wrong with which field, from pydantic's list; never echoes what was sent."""
    first = errors[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    field = ".".join(place).encode("utf-8", "replace").decode()[:100]
    reason = str(first["msg"]).removeprefix("Value error, ").encode("utf-8", "replace").decode()[:200]
    if first["type"] == "json_invalid":
        return _UNREADABLE
    return f"{field or 'The body'}: {reason}."


def install_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(AppError)
    async def on_app_error(request: Request, error: AppError) -> JSONResponse:
        if error.status >= 500:
            log.warning("request.refused", code=error.code, cause=repr(error.__cause__))
        return error_response(error, request_id_in(request.scope))

    @app.exception_handler(RequestValidationError)
    async def on_validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = list(error.errors())
        request_id = request_id_in(request.scope)
        if errors[0]["loc"][:1] == ("path",):
            # An id that is no UUID names nothing.
            return error_response(NotFound(), request_id)
        return error_response(InvalidInput(validation_sentence(errors)), request_id, 422)

    @app.exception_handler(RedisError)
    async def on_redis_error(request: Request, error: RedisError) -> JSONResponse:
        log.error("redis.failed", error=type(error).__name__)
        return error_response(Unavailable(), request_id_in(request.scope))

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
        request_id = request_id_in(request.scope)
        if error.status_code == 405:
            response = JSONResponse(error_body("method_not_allowed", METHOD_NOT_ALLOWED, request_id), 405)
            response.headers.update(error.headers or {})
            return response
        if error.status_code == 400:
            # FastAPI's own word for a body that could not be read at all.
            return error_response(InvalidInput(_UNREADABLE), request_id)
        kinds: dict[int, type[AppError]] = {401: NotAuthenticated, 403: Forbidden, 404: NotFound, 413: TooLarge}
        return error_response(kinds.get(error.status_code, AppError)(), request_id, error.status_code)
