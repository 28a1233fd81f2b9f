"""Requests for a retrieval and their results as plain values, for the way between processes."""

from typing import Any

from pydantic import TypeAdapter

from domain.retrieval.result import Retrieval, RetrievalRequest

_request = TypeAdapter(RetrievalRequest)
_retrieval = TypeAdapter(Retrieval)


def encode_request(request: RetrievalRequest) -> dict[str, Any]:
    """What JSON and msgpack can hold."""
    plain: dict[str, Any] = _request.dump_python(request, mode="json")
    return plain


def decode_request(plain: dict[str, Any]) -> RetrievalRequest:
    """Raises ValueError for anything else than what `encode_request` returns."""
    return _request.validate_python(plain)


def encode_retrieval(retrieval: Retrieval) -> dict[str, Any]:
    """What JSON and msgpack can hold."""
    plain: dict[str, Any] = _retrieval.dump_python(retrieval, mode="json")
    return plain


def decode_retrieval(plain: dict[str, Any]) -> Retrieval:
    """Raises ValueError for anything else than what `encode_retrieval` returns."""
    return _retrieval.validate_python(plain)
