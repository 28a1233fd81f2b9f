"""Which session a conversation is, for callers that send all of it again with each question."""

from uuid import UUID

from redis.asyncio import Redis

from domain.ids import ChatbotId, SessionId, TenantId

KEEP_SECONDS = 24 * 3_600


class Continuations:
    """Whoever takes a conversation up takes its entry: nobody else continues in the same session.

    The client must answer in `str`, as `connect_redis` makes it. Methods raise RedisError.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def keep(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, user: str, fingerprint: str, session_id: SessionId
    ) -> None:
        """For a day. `user` is whatever the caller calls the person who asks."""
        await self._redis.set(_key(tenant_id, chatbot_id, user, fingerprint), str(session_id), ex=KEEP_SECONDS)

    async def take(self, tenant_id: TenantId, chatbot_id: ChatbotId, user: str, fingerprint: str) -> SessionId | None:
        found = await self._redis.getdel(_key(tenant_id, chatbot_id, user, fingerprint))
        return SessionId(UUID(str(found))) if found else None


def _key(tenant_id: TenantId, chatbot_id: ChatbotId, user: str, fingerprint: str) -> str:
    return f"continuation:{tenant_id}:{chatbot_id}:{user}:{fingerprint}"
