"""Invitations to a tenant: open until they are accepted, withdrawn or expired."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import DictRow

from domain.errors import AlreadyExists, NotFound
from domain.ids import TenantId, UserId, new_uuid
from domain.tenancy import Role
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("invitations")
LIFETIME_DAYS = 7


@dataclass(frozen=True, slots=True)
class Invitation:
    tenant_id: TenantId
    id: UUID
    email: str
    role: Role
    invited_by: UserId | None
    created_at: datetime
    expires_at: datetime


class Invitations:
    """A tenant's own."""

    def __init__(self, tx: Transaction, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant_id

    async def list_page(self, limit: int, before: UUID | None = None) -> list[Invitation]:
        """Newest first, expired ones too: they can be sent again."""
        rows = await fetch_all(self._tx, _SQL["list"], tenant_id=self._tenant, limit=limit, before=before)
        return [_invitation(row) for row in rows]

    async def insert(self, email: str, role: Role, invited_by: UserId) -> Invitation:
        """Raises AlreadyExists while the address has an open one."""
        await execute(self._tx, _SQL["delete_expired"], tenant_id=self._tenant)
        row = await fetch_one(
            self._tx,
            _SQL["insert"],
            tenant_id=self._tenant,
            id=new_uuid(),
            email=email,
            role=role,
            invited_by=invited_by,
            days=LIFETIME_DAYS,
        )
        if row is None:
            raise AlreadyExists("This address is invited already; send the invitation again instead.")
        return _invitation(row)

    async def get(self, invitation_id: UUID) -> Invitation:
        """Raises NotFound."""
        return _found(await fetch_one(self._tx, _SQL["find"], tenant_id=self._tenant, id=invitation_id))

    async def renew(self, invitation_id: UUID) -> Invitation:
        """Open for its whole lifetime again. Raises NotFound."""
        values = {"tenant_id": self._tenant, "id": invitation_id, "days": LIFETIME_DAYS}
        return _found(await fetch_one(self._tx, _SQL["renew"], **values))

    async def delete(self, invitation_id: UUID) -> None:
        """Raises NotFound."""
        if not await execute(self._tx, _SQL["delete"], tenant_id=self._tenant, id=invitation_id):
            raise NotFound("There is no such invitation.")

    async def delete_of(self, inviter: UserId) -> int:
        """Withdraw what somebody has sent who may not any more; how many."""
        return await execute(self._tx, _SQL["delete_of_inviter"], tenant_id=self._tenant, user_id=inviter)


class InvitationLinks:
    """The links of all tenants' invitations; needs the system transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def set_token(self, invitation_id: UUID, token_hash: bytes) -> tuple[str, str] | None:
        """Make this the link that works: the role and the company's name, or None for what is no longer open."""
        row = await fetch_one(self._tx, _SQL["set_token"], id=invitation_id, token_hash=token_hash)
        return (row["role"], row["company"]) if row else None

    async def find(self, token_hash: bytes) -> Invitation | None:
        row = await fetch_one(self._tx, _SQL["by_token"], token_hash=token_hash)
        return _invitation(row) if row else None

    async def take(self, token_hash: bytes) -> Invitation | None:
        """The invitation; it is used from here on, unless the transaction fails."""
        row = await fetch_one(self._tx, _SQL["take"], token_hash=token_hash)
        return _invitation(row) if row else None


def _found(row: DictRow | None) -> Invitation:
    if row is None:
        raise NotFound("There is no such invitation.")
    return _invitation(row)


def _invitation(row: DictRow) -> Invitation:
    return Invitation(**{**row, "role": Role(row["role"])})
