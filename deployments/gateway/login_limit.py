"""Slows down guessing of passwords: a fixed window of one minute per e-mail address in Redis."""

from redis.asyncio import Redis

from deployments.gateway.rate_window import count_attempt
from domain.errors import RateLimited

PER_CLIENT = 10
PER_EMAIL = 30
"""The client's address may be forged where no trusted proxy sets it, so the e-mail alone counts too."""


async def check_login_rate(redis: Redis, client: str, email: str) -> None:
    """Count one attempt. Raises RateLimited. Lets the attempt pass while Redis is away: argon2 is slow enough."""
    limits = ((f"{client}|{email.lower()}", PER_CLIENT), (email.lower(), PER_EMAIL))
    retry_after = await count_attempt(redis, "login", limits)
    if retry_after is not None:
        raise RateLimited("Too many attempts to sign in; try again in a minute.", retry_after=retry_after)
