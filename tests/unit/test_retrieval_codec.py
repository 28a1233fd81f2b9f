"""Requests for a retrieval and their results on the way between processes."""

from typing import Any

import msgpack
import pytest

from domain.document_filter import DocumentFilter
from domain.generation import PromptMessage
from domain.retrieval.codec import decode_request, decode_retrieval, encode_request, encode_retrieval
from domain.retrieval.retrieve import retrieve
from tests.fixtures.retrieval import chunk_of, request_of, retrieval_ports

REQUEST = request_of(
    "How much is it? 🦓",
    PromptMessage("user", "Is there a lamp?"),
    PromptMessage("assistant", "Yes."),
    neighbours=1,
    filters=DocumentFilter(metadata={"year": (2024, True, "x")}, languages=("en",)).model_dump(mode="json"),
)


def sent(plain: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = msgpack.unpackb(msgpack.packb(plain))
    return found


def test_a_request_arrives_as_it_was_sent() -> None:
    assert decode_request(sent(encode_request(REQUEST))) == REQUEST


async def test_a_result_arrives_as_it_was_found() -> None:
    same = "the lamp comes with a warranty that begins on the day of the purchase and covers all of it"
    stored = [chunk_of(0, same, 0.9), chunk_of(1, same, 0.8), chunk_of(2, "nothing", 0.1)]
    result = await retrieve(request_of("warranty lamp", neighbours=1), retrieval_ports(stored))
    assert len(result.dropped) == 2
    assert decode_retrieval(sent(encode_retrieval(result))) == result


@pytest.mark.parametrize(
    "change",
    [
        {"tenant_id": "../../etc"},
        {"chatbot_id": None},
        {"config": {"top_k": 10_000}},
        {"config": {"unknown": 1}},
        {"history": [1]},
        {"question": None},
    ],
)
def test_a_wrong_request_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        decode_request({**encode_request(REQUEST), **change})
