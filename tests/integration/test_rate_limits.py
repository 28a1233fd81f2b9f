"""Limits of calls: shared buckets in a real Redis, per address, person and tenant, and what holds while it is away."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from redis.asyncio import Redis

from deployments.gateway import rate_limits
from deployments.gateway.rate_limits import RULES, Kind, Rate, RateLimits, Rule, kind_of
from domain.errors import RateLimited
from storage.redis.client import connect_redis
from storage.redis.token_buckets import Bucket, TokenBuckets
from tests.fixtures.gateway import Chat, GatewayRig

SLOW = 0.001
"""Tokens per second: none comes back while a test runs."""


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect_redis(redis_url)
    yield client
    await client.aclose()


def bucket(burst: float, rate: float = SLOW) -> Bucket:
    return Bucket(f"rate:test:{uuid4()}", burst, rate)


async def test_calls_at_once_never_get_more_than_the_burst(redis: Redis) -> None:
    buckets, one = TokenBuckets(redis), bucket(7)
    taken = await asyncio.gather(*(buckets.take([one]) for _ in range(30)))
    assert sum(found.refused is None for found in taken) == 7
    refused = [found for found in taken if found.refused is not None]
    assert all(found.refused == one and 0 < found.wait_seconds <= 1 / SLOW for found in refused)


async def test_a_refused_call_takes_from_no_bucket(redis: Redis) -> None:
    buckets, wide, narrow = TokenBuckets(redis), bucket(10), bucket(1)
    assert (await buckets.take([wide, narrow])).remaining == (9, 0)
    refused = await buckets.take([wide, narrow])
    assert (refused.refused, refused.remaining) == (narrow, (9, 0))
    assert (await buckets.take([wide])).remaining == (8,)


async def test_a_bucket_fills_again_and_is_then_forgotten(redis: Redis) -> None:
    buckets, fast = TokenBuckets(redis), bucket(2, 1_000_000)
    for _ in range(20):
        assert (await buckets.take([fast])).refused is None
    assert 0 < await redis.pttl(fast.key) <= 1_001


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/auth/login", Kind.AUTH),
        ("GET", "/auth/whatever", Kind.AUTH),
        ("POST", "/chatbots/1/visitors", Kind.AUTH),
        ("GET", "/chatbots/1/visitors", Kind.READ),
        ("GET", "/chatbots", Kind.READ),
        ("HEAD", "/some/view", Kind.READ),
        ("POST", "/chatbots/1/sessions/2/messages", Kind.CHAT),
        ("POST", "/chatbots/1/sessions/2/turns/3/regenerate", Kind.CHAT),
        ("POST", "/chatbots/1/sessions/2/messages/3/delivered", Kind.WRITE),
        ("DELETE", "/chatbots/1", Kind.WRITE),
        ("NONSENSE", "//", None),
        ("BREW", "/chatbots", Kind.WRITE),
        ("GET", "/healthz", None),
        ("GET", "/assets/a.js", None),
        ("POST", "/webhooks/stripe", None),
        ("OPTIONS", "/chatbots", None),
    ],
)
def test_every_route_has_its_class(method: str, path: str, kind: Kind | None) -> None:
    assert kind_of(method, path) == kind


async def test_an_answer_tells_what_is_left_and_a_refusal_when_to_come_back(
    rig: GatewayRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, Kind.READ, Rule({"user": Rate(3, SLOW), "tenant": Rate(100, 1)}))
    answers = [await chat.tenant.get("/chatbots") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["ratelimit-limit"] for answer in answers} == {"3"}
    assert answers[0].headers["ratelimit-policy"] == "3;w=3000"
    last = answers[-1]
    assert last.json()["error"]["code"] == "rate_limited"
    assert 1 <= int(last.headers["retry-after"]) <= 1_000
    assert last.headers["ratelimit-reset"] == last.headers["retry-after"]
    # Other classes and other people have buckets of their own; health is never refused.
    assert (await chat.tenant.post(f"/chatbots/{chat.bot}/sessions")).status_code == 201
    assert (await (await rig.register()).get("/chatbots")).status_code == 200
    assert (await rig.http.get("/healthz")).status_code == 200


async def test_an_address_is_counted_whatever_token_it_shows(
    rig: GatewayRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, Kind.READ, Rule({"address": Rate(3, SLOW)}))
    transport = httpx.ASGITransport(rig.app, client=("192.0.2.77", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
        tokens = ("", "Bearer forged", f"Bearer {chat.tenant.grant['access_token']}", "Bearer other")
        codes = [
            (await http.get("/me", headers={"Authorization": token, "X-Forwarded-For": f"10.0.0.{number}"})).status_code
            for number, token in enumerate(tokens)
        ]
    assert codes == [401, 401, 200, 429]


async def test_while_redis_is_away_log_ins_are_counted_here_and_the_rest_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RULES, Kind.AUTH, Rule({"address": Rate(2, SLOW)}, closed=True))
    monkeypatch.setattr(rate_limits, "MAX_LOCAL", 3)
    nowhere = connect_redis("redis://127.0.0.1:9/0")
    limits = RateLimits(nowhere)
    for _ in range(2):
        await limits.require(Kind.AUTH, {"address": "192.0.2.1"}, "No.")
    with pytest.raises(RateLimited) as refused:
        await limits.require(Kind.AUTH, {"address": "192.0.2.1"}, "No.")
    assert refused.value.retry_after is not None
    assert await limits.take(Kind.READ, {"address": "192.0.2.1"}) is None
    for number in range(10):
        await limits.require(Kind.AUTH, {"address": f"198.51.100.{number}"}, "No.")
    assert len(limits._local) == 3
    await nowhere.aclose()


async def test_the_factor_scales_and_never_closes(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, Kind.READ, Rule({"address": Rate(10, SLOW)}))
    for factor, limit in ((2.0, 20), (0.001, 1)):
        standing = await RateLimits(redis, factor).take(Kind.READ, {"address": str(uuid4())})
        assert standing is not None
        assert not standing.refused
        assert standing.headers()["RateLimit-Limit"] == str(limit)
