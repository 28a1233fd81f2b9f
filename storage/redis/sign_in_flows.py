"""Log-ins that are on their way through an identity provider, and the codes that end them; each is taken once."""

import hashlib
import json
from dataclasses import asdict, dataclass

from redis.asyncio import Redis

FLOW_SECONDS = 600
CODE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Flow:
    """What we remember of a log-in while the person is at the provider."""

    provider: str
    browser: str
    """The hash of the cookie of the browser that began it."""
    nonce: str
    verifier: str
    return_to: str
    user_id: str | None = None
    """Who is signed in already and links the identity to their account."""
    tenant_id: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody whom a provider signed in, on the last step back to the page."""

    provider: str
    flow: str
    """The name of the flow, which the browser's cookie carries."""
    browser: str
    user_id: str
    tenant_id: str


class SignInFlows:
    """States and codes are random and secret: Redis knows their hashes. Every method raises RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def begin(self, state: str, flow: Flow) -> None:
        await self._redis.set(_key("flow", state), json.dumps(asdict(flow)), ex=FLOW_SECONDS)

    async def take_flow(self, state: str) -> Flow | None:
        found = await self._redis.getdel(_key("flow", state))
        return Flow(**json.loads(found)) if found else None

    async def arrive(self, code: str, arrival: Arrival) -> None:
        await self._redis.set(_key("code", code), json.dumps(asdict(arrival)), ex=CODE_SECONDS)

    async def take_arrival(self, code: str) -> Arrival | None:
        found = await self._redis.getdel(_key("code", code))
        return Arrival(**json.loads(found)) if found else None


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _key(kind: str, secret: str) -> str:
    return f"oidc:{kind}:{digest(secret)}"
