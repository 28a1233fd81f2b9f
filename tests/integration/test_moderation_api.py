"""The moderation service over real HTTP: what is sent, what counts, and every way in which it can fail."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from actors.guarding.moderation_api import MAX_CHARS, ModerationApi
from domain.errors import Unavailable
from tests.fixtures.provider import ProviderDouble, Reply


@pytest.fixture
async def api(provider: ProviderDouble) -> AsyncIterator[ModerationApi]:
    async with httpx.AsyncClient(timeout=1.0) as http:
        yield ModerationApi(http, f"{provider.url}/v1/", "key-1", "omni")


def reply(*results: dict[str, object]) -> Reply:
    return Reply(json.dumps({"results": list(results)}).encode())


async def test_it_asks_as_the_api_wants_it(provider: ProviderDouble, api: ModerationApi) -> None:
    provider.replies = [reply({"flagged": False, "category_scores": {"hate": 0.2, "violence": 0.6}})]
    assert await api.score("How long?") == 0.6
    [seen] = provider.seen
    assert (seen.path, seen.headers["authorization"]) == ("/v1/moderations", "Bearer key-1")
    assert seen.body == {"model": "omni", "input": ["How long?"]}


async def test_flagged_is_certain_and_long_texts_go_in_parts(provider: ProviderDouble, api: ModerationApi) -> None:
    provider.replies = [
        reply({"flagged": False, "category_scores": {}}, {"flagged": True, "category_scores": {"x": 0.1}})
    ]
    assert await api.score("x" * (MAX_CHARS + 1)) == 1.0
    assert list(map(len, provider.seen[0].body["input"])) == [MAX_CHARS, 1]
    assert await api.score("  ") == 0.0
    assert len(provider.seen) == 1


@pytest.mark.parametrize(
    "bad",
    [
        Reply(b'{"error": "no"}', status=401),
        Reply(b"", status=500),
        Reply(b"not json"),
        Reply(b"[]"),
        Reply(b'{"results": []}'),
        Reply(b'{"results": [{}]}'),
        Reply(b'{"results": [{"flagged": false, "category_scores": {"x": "much"}}]}'),
        Reply(b'{"results": [null]}'),
        Reply(b'{"results"', ending="cut"),
        Reply(b"", ending="hang"),
        Reply(b"", status=302, headers={"location": "http://169.254.169.254/"}),
    ],
)
async def test_whatever_else_it_says_is_no_answer(bad: Reply, provider: ProviderDouble, api: ModerationApi) -> None:
    provider.replies = [bad]
    with pytest.raises(Unavailable):
        await api.score("How long?")
    assert len(provider.seen) == 1


async def test_nobody_there(api: ModerationApi) -> None:
    async with httpx.AsyncClient(timeout=1.0) as http:
        with pytest.raises(Unavailable):
            await ModerationApi(http, "http://127.0.0.1:9", "k", "m").score("x")
