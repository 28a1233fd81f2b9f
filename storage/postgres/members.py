"""Who belongs to a tenant, and as what."""

from domain.ids import TenantId, UserId
from domain.tenancy import Role
from storage.postgres.database import Transaction, fetch_one
from storage.postgres.queries import load

_SQL = load("members")


class Members:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def role(self, tenant_id: TenantId, user_id: UserId) -> Role | None:
        """The present role; None for who is no member (any more)."""
        row = await fetch_one(self._tx, _SQL["role"], tenant_id=tenant_id, user_id=user_id)
        return Role(row["role"]) if row else None
