"""Tells every gateway at once that somebody may have lost their access, so that it looks at their open sockets."""

import json
from dataclasses import dataclass
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.ids import ApiKeyId, SignInId, TenantId, UserId, VisitorId

log = structlog.get_logger(__name__)

CHANNEL = "access-ended"


@dataclass(frozen=True, slots=True)
class AccessEnded:
    """Not believed, only looked into: whoever hears it asks the database."""

    tenant_id: TenantId
    subject: UUID | None
    """The person, sign-in, key or visitor; None for everybody of the tenant."""


async def announce_end(
    redis: Redis,
    tenant_id: TenantId,
    user_id: UserId | None = None,
    session_id: SignInId | None = None,
    *,
    api_key_id: ApiKeyId | None = None,
    visitor_id: VisitorId | None = None,
) -> None:
    """Call it after the commit that took a right away: a removal, another role, the end of a sign-in (`session_id`),
    a revoked key, an erased visitor. With the tenant alone it is about everybody of the tenant.

    Raises nothing: a message that is lost is made up for by the gateways' own look every few seconds.
    """
    subject = session_id or api_key_id or visitor_id or user_id
    message = {"tenant": str(tenant_id), "subject": str(subject) if subject else None}
    try:
        await redis.publish(CHANNEL, json.dumps(message))
    except RedisError as error:
        log.warning("access.not_announced", error=type(error).__name__)


def parse_end(text: str) -> AccessEnded | None:
    """None for what is no message of ours: another version may say more."""
    try:
        message = json.loads(text)
        subject = message["subject"]
        return AccessEnded(TenantId(UUID(message["tenant"])), UUID(subject) if subject else None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
