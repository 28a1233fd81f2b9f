"""Ends what somebody has open: the one place for who was removed, lowered, or has a new password."""

from domain.ids import TenantId, UserId
from storage.postgres.database import Transaction
from storage.postgres.people import People


async def end_access(tx: Transaction, tenant_id: TenantId | None, user_id: UserId) -> None:
    """Their refresh tokens of one tenant, or of all, work no more; needs the system's transaction."""
    await People(tx).end_access(user_id, tenant_id)
