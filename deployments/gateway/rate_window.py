"""Counts attempts in fixed windows of one minute in Redis."""

import hashlib
import time
from collections.abc import Iterable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

WINDOW_SECONDS = 60


async def count_attempt(redis: Redis, action: str, limits: Iterable[tuple[str, int]]) -> float | None:
    """Count one attempt for each subject; None while none is above its limit, else seconds until the window ends.

    An attempt passes while Redis is away.
    """
    limits = tuple(limits)
    now = time.time()
    window = int(now // WINDOW_SECONDS)
    try:
        async with redis.pipeline(transaction=False) as pipeline:
            for subject, _ in limits:
                key = f"{action}:{window}:{hashlib.sha256(subject.encode()).hexdigest()}"
                pipeline.incr(key)
                pipeline.expire(key, 2 * WINDOW_SECONDS)
            counts = (await pipeline.execute())[::2]
    except RedisError as error:
        log.warning("rate_window.skipped", action=action, error=type(error).__name__)
        return None
    if any(count > limit for count, (_, limit) in zip(counts, limits, strict=True)):
        return WINDOW_SECONDS - now % WINDOW_SECONDS
    return None
