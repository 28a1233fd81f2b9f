"""What clients say about documents: the fields of an upload's form, and the filter of a list."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self, TypeVar

from fastapi import Depends, Query
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from deployments.gateway.json_body import check_json
from domain.chunking_config import ChunkingConfig
from domain.document_filter import DocumentFilter, Metadata, Source
from domain.errors import InvalidInput

MAX_QUERY = 4_096
_METADATA: TypeAdapter[Metadata] = TypeAdapter(Metadata)
_SOURCE: TypeAdapter[str] = TypeAdapter(Source)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DocumentDetails:
    """What is said about a file that is handed over."""

    metadata: Metadata = field(default_factory=dict)
    source: str | None = None

    @classmethod
    def of_form(cls, fields: Mapping[str, bytes]) -> Self:
        """Raises InvalidInput, RequestValidationError."""
        metadata, source = fields.get("metadata", b"").strip(), fields.get("source", b"").decode("utf-8", "replace")
        return cls(
            _valid("metadata", lambda: _METADATA.validate_python(_json("metadata", metadata))) if metadata else {},
            _valid("source", lambda: _SOURCE.validate_python(source)) if source else None,
        )


async def document_filter(
    language: Annotated[list[str], Query(max_length=20)] = [],  # noqa: B006 - FastAPI copies defaults
    media_type: Annotated[list[str], Query(max_length=20)] = [],  # noqa: B006
    name: Annotated[str | None, Query(description="A part of the name, in any case.")] = None,
    source: Annotated[str | None, Query(description="What the address or path begins with.")] = None,
    metadata: Annotated[
        str | None, Query(max_length=MAX_QUERY, description='As JSON: `{"team": "sales", "year": [2025, 2026]}`.')
    ] = None,
) -> DocumentFilter:
    """Raises InvalidInput, RequestValidationError."""
    wanted: dict[str, Any] = {
        "languages": language,
        "media_types": media_type,
        "name": name,
        "source": source,
        "metadata": _json("metadata", metadata.encode("utf-8", "replace")) if metadata else {},
    }
    return _valid(None, lambda: DocumentFilter.model_validate(wanted))


def chunking_of_form(fields: Mapping[str, bytes]) -> ChunkingConfig | None:
    """Raises InvalidInput, RequestValidationError."""
    given = fields.get("chunking", b"").strip()
    return _valid("chunking", lambda: ChunkingConfig.model_validate(_json("chunking", given))) if given else None


FilterOfQuery = Annotated[DocumentFilter, Depends(document_filter)]


def _json(name: str, text: bytes) -> Any:
    check_json(text)
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        raise InvalidInput(f"`{name}` is not valid JSON.") from None


def _valid(name: str | None, validate: Callable[[], T]) -> T:
    try:
        return validate()
    except ValidationError as error:
        place = (name,) if name else ()
        raise RequestValidationError([{**one, "loc": (*place, *one["loc"])} for one in error.errors()]) from None
