"""Which account somebody of another identity provider has here; all of it needs the system transaction."""

from domain.ids import TenantId, UserId
from storage.postgres.database import Transaction, execute, fetch_one
from storage.postgres.queries import load

_SQL = load("identities")


class Identities:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def owner(self, issuer: str, subject: str) -> UserId | None:
        row = await fetch_one(self._tx, _SQL["owner"], issuer=issuer, subject=subject)
        return UserId(row["user_id"]) if row else None

    async def find(self, issuer: str, subject: str) -> tuple[UserId, TenantId] | None:
        """The person, and the tenant that log-in opens; None for who belongs to none."""
        row = await fetch_one(self._tx, _SQL["account_by_identity"], issuer=issuer, subject=subject)
        return (UserId(row["user_id"]), TenantId(row["tenant_id"])) if row else None

    async def link(self, issuer: str, subject: str, user_id: UserId) -> bool:
        """False when somebody has this identity already."""
        return await execute(self._tx, _SQL["link"], issuer=issuer, subject=subject, user_id=user_id) == 1

    async def unlink(self, issuer: str, user_id: UserId) -> int:
        """How many identities of this issuer the person had."""
        return await execute(self._tx, _SQL["unlink"], issuer=issuer, user_id=user_id)
