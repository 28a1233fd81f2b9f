"""What visitors agreed to: only ever added to."""

from psycopg.errors import ForeignKeyViolation

from domain.chatbot import ChatbotConfig
from domain.consent import Consent, NeededConsent, shortened
from domain.errors import NotFound
from domain.ids import ChatbotId, TenantId, VisitorId, new_uuid
from storage.postgres.database import Transaction, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("consents")


class Consents:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def give(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, visitor_id: VisitorId, policy_version: str, ip: str | None
    ) -> Consent:
        """Record it, with the address shortened. Raises NotFound when the visitor is erased just now."""
        try:
            row = await fetch_one(
                self._tx,
                _SQL["insert"],
                tenant_id=tenant_id,
                id=new_uuid(),
                chatbot_id=chatbot_id,
                visitor_id=visitor_id,
                policy_version=policy_version,
                ip=shortened(ip),
            )
        except ForeignKeyViolation as error:
            raise NotFound("There is no such visitor.") from error
        assert row is not None
        return Consent(**row)

    async def list_all(self, tenant_id: TenantId, visitor_id: VisitorId, limit: int = 100) -> list[Consent]:
        """The newest ones, newest first."""
        rows = await fetch_all(self._tx, _SQL["list"], tenant_id=tenant_id, visitor_id=visitor_id, limit=limit)
        return [Consent(**row) for row in rows]

    async def needed(self, tenant_id: TenantId, visitor_id: VisitorId, config: ChatbotConfig) -> NeededConsent | None:
        """What the visitor still has to agree to; None when they may ask."""
        privacy = config.privacy
        if not privacy.consent_required:
            return None
        row = await fetch_one(
            self._tx,
            _SQL["given"],
            tenant_id=tenant_id,
            visitor_id=visitor_id,
            policy_version=privacy.policy_version,
        )
        return None if row else NeededConsent(privacy.policy_url, privacy.policy_version)
