"""AnswerCache that keeps nothing: evaluations ask models, and so does who has turned the cache off."""

from domain.caching.scope import CacheHit, CacheScope, KeptAnswer
from domain.ids import TenantId


class NothingKept:
    async def find(self, scope: CacheScope, question: str) -> CacheHit | None:  # noqa: ARG002 - a Protocol
        return None

    def keep(self, scope: CacheScope, kept: KeptAnswer) -> None:
        """It is forgotten."""

    def forget(self, tenant_id: TenantId) -> None:
        """There is nothing."""
