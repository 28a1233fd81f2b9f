"""The remote encoder against a server that answers what a test wants, also what no real one should."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from domain.errors import AppError, EngineFailed, InvalidInput, RateLimited, Unavailable
from storage.models.embedding import EncoderSpec, Vectors, embedding_token_count, open_encoder
from tests.fixtures.provider import ProviderDouble, Reply

WEIGHTS = "remote:their-model"


def answer(*vectors: list[float], order: list[int] | None = None) -> Reply:
    places = order or list(range(len(vectors)))
    data = [{"object": "embedding", "index": place, "embedding": vectors[place]} for place in places]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    body = {"object": "list", "model": "their-model", "data": data, "usage": usage}
    return Reply(json.dumps(body).encode(), headers={"content-type": "application/json"})


def spec(provider: ProviderDouble, **values: Any) -> EncoderSpec:
    return EncoderSpec(WEIGHTS, "remote", base_url=f"{provider.url}/v1", api_key=SecretStr("key"), **values)


async def encode(spec: EncoderSpec, texts: list[str]) -> Vectors:
    return await asyncio.to_thread(open_encoder(spec, threads=1).encode, texts)


async def test_vectors_come_in_order_and_of_length_one(provider: ProviderDouble) -> None:
    provider.replies = [answer([3.0, 4.0], [0.0, 2.0], order=[1, 0])]
    vectors = await encode(spec(provider, dimension=2), ["first", ""])
    assert np.allclose(vectors, [[0.6, 0.8], [0.0, 1.0]])
    assert vectors.dtype == np.float32
    [seen] = provider.seen
    assert seen.path == "/v1/embeddings"
    assert seen.headers["authorization"] == "Bearer key"
    assert (seen.body["model"], seen.body["dimensions"]) == ("their-model", 2)
    assert seen.body["input"] == ["first", " "]


async def test_many_texts_are_several_calls(provider: ProviderDouble) -> None:
    provider.replies = [answer(*[[1.0, 0.0]] * 64), answer(*[[0.0, 1.0]] * 6)]
    vectors = await encode(spec(provider), [str(number) for number in range(70)])
    assert vectors[:, 1].tolist() == [0.0] * 64 + [1.0] * 6
    assert [len(seen.body["input"]) for seen in provider.seen] == [64, 6]
    assert "dimensions" not in provider.seen[0].body


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(b"{}", 401), Unavailable),
        (Reply(b"{}", 404), Unavailable),
        (Reply(b"{}", 400), InvalidInput),
        (Reply(b"{}", 429, {"retry-after": "0"}), RateLimited),
        (Reply(b"{}", 500, {"retry-after": "0"}), Unavailable),
        (Reply(b"no json", headers={"content-type": "application/json"}), AppError),
        (Reply(b"<html>", headers={"content-type": "text/html"}), AppError),
        (answer(), EngineFailed),
        (answer([1.0, 0.0], [0.0, 1.0]), EngineFailed),
        (answer([]), EngineFailed),
        (answer([float("nan"), 1.0]), EngineFailed),
        (answer([1.0, 0.0, 0.0]), EngineFailed),
    ],
)
async def test_a_failure_is_a_sentence(provider: ProviderDouble, reply: Reply, kind: type[AppError]) -> None:
    provider.replies = [reply]
    with pytest.raises(kind) as failure:
        await encode(spec(provider, dimension=2), ["text"])
    assert failure.value.message.endswith(".")
    assert "key" not in failure.value.message


async def test_a_fault_that_passes_is_not_seen(provider: ProviderDouble) -> None:
    provider.replies = [Reply(b"{}", 503, {"retry-after": "0"}), answer([1.0, 0.0])]
    assert (await encode(spec(provider), ["text"])).shape == (1, 2)


def test_tokens_of_a_model_elsewhere_are_estimated() -> None:
    assert embedding_token_count(WEIGHTS)("twelve bytes") == 4
