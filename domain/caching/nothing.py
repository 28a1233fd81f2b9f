"""AnswerCache that keeps nothing: evaluations ask models, and so does who has turned the cache off."""

from domain.caching.scope import CacheHit, CacheScope, KeptAnswer
from domain.ids import TenantId
from domain.metering import Meter


class NothingKept:
    async def find(
        self,
        scope: CacheScope,  # noqa: ARG002 - a Protocol
        question: str,  # noqa: ARG002
        meter: Meter | None = None,  # noqa: ARG002
    ) -> CacheHit | None:
        return None

    def keep(self, scope: CacheScope, kept: KeptAnswer) -> None:
        """It is forgotten."""

    def forget(self, tenant_id: TenantId) -> None:
        """There is nothing."""
