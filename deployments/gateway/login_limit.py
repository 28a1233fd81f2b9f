"""Slows down guessing of passwords: a fixed window of one minute per e-mail address in Redis."""

import hashlib
import time

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.errors import RateLimited

log = structlog.get_logger()

WINDOW_SECONDS = 60
PER_CLIENT = 10
PER_EMAIL = 30
"""The client's address may be forged where no trusted proxy sets it, so the e-mail alone counts too."""


async def check_login_rate(redis: Redis, client: str, email: str) -> None:
    """Count one attempt. Raises RateLimited. Lets the attempt pass while Redis is away: argon2 is slow enough."""
    now = time.time()
    window = int(now // WINDOW_SECONDS)
    limits = ((f"{client}|{email.lower()}", PER_CLIENT), (email.lower(), PER_EMAIL))
    try:
        async with redis.pipeline(transaction=False) as pipeline:
            for subject, _ in limits:
                key = f"login:{window}:{hashlib.sha256(subject.encode()).hexdigest()}"
                pipeline.incr(key)
                pipeline.expire(key, 2 * WINDOW_SECONDS)
            counts = (await pipeline.execute())[::2]
    except RedisError as error:
        log.warning("login_limit.skipped", error=type(error).__name__)
        return
    if any(count > limit for count, (_, limit) in zip(counts, limits, strict=True)):
        raise RateLimited(
            "Too many attempts to sign in; try again in a minute.",
            retry_after=WINDOW_SECONDS - now % WINDOW_SECONDS,
        )
