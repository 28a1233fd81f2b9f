"""How often who may call what: token buckets per address, person and tenant, for each class of routes."""

import asyncio
import math
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.errors import RateLimited
from domain.token_bucket import TokenBucket
from storage.redis.token_buckets import Bucket, TokenBuckets, bucket_key

log = structlog.get_logger()

REDIS_SECONDS = 0.5
"""A check waits no longer for Redis, and leaves it alone for PAUSE_SECONDS afterwards."""
PAUSE_SECONDS = 1.0
MAX_LOCAL = 10_000
"""Subjects that one process counts by itself while Redis is away; the one not seen for longest is forgotten."""


class Kind(StrEnum):
    AUTH = "auth"
    READ = "read"
    WRITE = "write"
    CHAT = "chat"
    ACCOUNT = "account"
    SECOND_FACTOR = "second_factor"
    GUESS = "guess"
    VISITOR = "visitor"
    FETCH = "fetch"
    PREVIEW = "preview"
    MAIL = "mail"


@dataclass(frozen=True, slots=True)
class Rate:
    burst: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Rule:
    rates: Mapping[str, Rate]
    """By what is counted: `address`, `user`, `tenant`, `account`, `device`, or a pair in the order of the subject."""
    closed: bool = False
    """While Redis is away every process counts by itself, instead of letting everything pass."""


RULES = {
    Kind.AUTH: Rule({"address": Rate(600, 10)}, closed=True),
    Kind.READ: Rule({"address": Rate(4_000, 200), "user": Rate(2_000, 100), "tenant": Rate(4_000, 200)}),
    Kind.WRITE: Rule({"address": Rate(4_000, 200), "user": Rate(1_000, 50), "tenant": Rate(2_000, 100)}),
    Kind.CHAT: Rule({"address": Rate(4_000, 200), "user": Rate(1_000, 50), "tenant": Rate(2_000, 100)}),
    # Counted per address too, so that a stranger's guesses never lock the account's owner out.
    Kind.ACCOUNT: Rule({"address+account": Rate(10, 1 / 6)}, closed=True),
    # All guesses at one account's six digits count together: 144 a day, of a million, three of them right. Whoever gets
    # here knows the password; recovery codes count per address only, so that even they do not lock the owner out.
    Kind.SECOND_FACTOR: Rule({"address+account": Rate(10, 1 / 30), "account": Rate(30, 1 / 600)}, closed=True),
    # Counted from wherever they come, but for devices and addresses that the person has signed in from before.
    Kind.GUESS: Rule({"account": Rate(50, 1 / 300), "device": Rate(10, 1 / 60)}, closed=True),
    # Nobody is flooded, and no tenant makes the platform a sender of advertisements.
    Kind.MAIL: Rule({"recipient": Rate(5, 1 / 600), "tenant": Rate(100, 1 / 36)}, closed=True),
    Kind.VISITOR: Rule({"address+chatbot": Rate(30, 0.5)}, closed=True),
    # Others' servers are asked in our name.
    Kind.FETCH: Rule({"tenant": Rate(30, 0.5)}, closed=True),
    # A file is read and cut while somebody waits.
    Kind.PREVIEW: Rule({"tenant": Rate(20, 0.5)}, closed=True),
}
"""An office behind one address, or a load test, stays below; a loop without a pause does not.

How often a tenant may chat is its plan's business, on the socket and here alike: these only keep the gateway alive.
"""

_VISITORS = re.compile(r"/chatbots/[^/]+/visitors")
_CHAT = re.compile(r"/chatbots/[^/]+/sessions/[^/]+/(?:messages|turns/[^/]+/(?:regenerate|stop))")
_WITH_SECRETS = frozenset(("/invitations/accept",))
"""Public, as everything below `/auth` is."""
_UNLIMITED = frozenset(("", "assets", "docs", "healthz", "metrics", "openapi.json", "readyz", "webhooks"))
"""Static, for operators, or signed by Stripe: a webhook refused is a payment seen late."""


def kind_of(method: str, path: str) -> Kind | None:
    """The class of a request; None for what is not limited."""
    first = path.lstrip("/").partition("/")[0]
    if method == "OPTIONS" or first in _UNLIMITED:
        return None
    if first == "auth" or path in _WITH_SECRETS or (method == "POST" and _VISITORS.fullmatch(path)):
        return Kind.AUTH
    if method in ("GET", "HEAD"):
        return Kind.READ
    return Kind.CHAT if method == "POST" and (first == "v1" or _CHAT.fullmatch(path)) else Kind.WRITE


@dataclass(frozen=True, slots=True)
class Standing:
    """What the tightest bucket says after a call."""

    rate: Rate
    remaining: int
    refused: bool
    wait_seconds: float

    def headers(self) -> dict[str, str]:
        """Source: draft-ietf-httpapi-ratelimit-headers-06. The window is the time that fills an empty bucket."""
        window = max(1, math.ceil(self.rate.burst / self.rate.per_second))
        full_in = math.ceil((self.rate.burst - self.remaining) / self.rate.per_second)
        limit = math.floor(self.rate.burst)
        return {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(max(1, math.ceil(self.wait_seconds)) if self.refused else full_in),
            "RateLimit-Policy": f"{limit};w={window}",
        }


class RateLimits:
    """`factor` multiplies every rate."""

    def __init__(self, redis: Redis, factor: float = 1.0) -> None:
        self._shared = TokenBuckets(redis)
        self._factor = factor
        self._local: OrderedDict[str, TokenBucket] = OrderedDict()
        self._away_until = 0.0

    async def take(self, kind: Kind, subjects: Mapping[str, str]) -> Standing | None:
        """Count one call for each of the subjects that the rule of `kind` knows; a refused one counts for none.

        None where nothing was counted: an open rule while Redis is away.
        """
        rule = RULES[kind]
        rates = {of: self._scaled(rate) for of, rate in rule.rates.items() if of in subjects}
        buckets = [
            Bucket(bucket_key(kind, of, subjects[of]), rate.burst, rate.per_second) for of, rate in rates.items()
        ]
        if not buckets:
            return None
        if time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    taken = await self._shared.take(buckets)
            except (RedisError, TimeoutError) as error:
                self._away_until = time.monotonic() + PAUSE_SECONDS
                log.warning("rate_limits.redis_away", error=type(error).__name__)
            else:
                return _tightest(buckets, taken.remaining, taken.refused, taken.wait_seconds)
        return self._take_here(buckets) if rule.closed else None

    async def require(self, kind: Kind, subjects: Mapping[str, str], sentence: str) -> None:
        """Raises RateLimited with this sentence."""
        standing = await self.take(kind, subjects)
        if standing is not None and standing.refused:
            raise RateLimited(sentence, retry_after=standing.wait_seconds)

    def _take_here(self, buckets: Sequence[Bucket]) -> Standing:
        remaining = []
        for bucket in buckets:
            here = self._local.pop(bucket.key, None) or TokenBucket(bucket.burst, bucket.per_second)
            self._local[bucket.key] = here
            if not here.take():
                return _tightest([bucket], (0,), bucket, here.wait_seconds)
            remaining.append(here.remaining)
        while len(self._local) > MAX_LOCAL:
            self._local.popitem(last=False)
        return _tightest(buckets, remaining, None, 0.0)

    def _scaled(self, rate: Rate) -> Rate:
        return Rate(max(1.0, rate.burst * self._factor), rate.per_second * self._factor)


def _tightest(buckets: Sequence[Bucket], remaining: Sequence[int], refused: Bucket | None, wait: float) -> Standing:
    """Of the bucket that refused, or else of the one with the smallest part left."""
    left = dict(zip(buckets, remaining, strict=True))
    bucket = refused or min(left, key=lambda found: left[found] / found.burst)
    rate = Rate(bucket.burst, bucket.per_second)
    return Standing(rate, 0 if refused else left[bucket], refused is not None, wait)
