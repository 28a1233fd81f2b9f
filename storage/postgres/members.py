"""Who belongs to a tenant, and as what."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import DictRow

from domain.errors import Conflict, NotFound, TenantSuspended
from domain.ids import TenantId, UserId
from domain.tenancy import Role
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("members")


@dataclass(frozen=True, slots=True)
class Member:
    user_id: UserId
    email: str
    email_verified_at: datetime | None
    role: Role
    created_at: datetime
    """When they joined."""


class Members:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def role(self, tenant_id: TenantId, user_id: UserId) -> Role | None:
        """The present role; None for who is no member (any more). Raises TenantSuspended."""
        row = await fetch_one(self._tx, _SQL["role"], tenant_id=tenant_id, user_id=user_id)
        if row is None:
            return None
        if row["suspended"]:
            raise TenantSuspended
        return Role(row["role"])

    async def require_active(self, tenant_id: TenantId) -> None:
        """Raises TenantSuspended, and NotFound for a tenant that is gone."""
        row = await fetch_one(self._tx, _SQL["suspended"], tenant_id=tenant_id)
        if row is None:
            raise NotFound("There is no such company any more.")
        if row["suspended"]:
            raise TenantSuspended


class MemberChanges:
    """Needs the system transaction, for e-mail addresses belong to no tenant; every statement names the tenant."""

    def __init__(self, tx: Transaction, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant_id

    async def lock(self) -> None:
        """Let nobody else change the tenant's people until the transaction ends."""
        await fetch_one(self._tx, _SQL["lock"], tenant_id=self._tenant)

    async def list_page(self, limit: int, after: UserId | None = None) -> list[Member]:
        """In the order of their accounts."""
        rows = await fetch_all(self._tx, _SQL["list"], tenant_id=self._tenant, limit=limit, after=after)
        return [_member(row) for row in rows]

    async def get(self, user_id: UserId) -> Member:
        """Raises NotFound."""
        row = await fetch_one(self._tx, _SQL["find"], tenant_id=self._tenant, user_id=user_id)
        if row is None:
            raise NotFound("There is no such member.")
        return _member(row)

    async def has_email(self, email: str) -> bool:
        return await fetch_one(self._tx, _SQL["has_email"], tenant_id=self._tenant, email=email) is not None

    async def insert(self, user_id: UserId, role: Role) -> bool:
        """False for who is a member already: their role stays."""
        return await execute(self._tx, _SQL["insert"], tenant_id=self._tenant, user_id=user_id, role=role) > 0

    async def set_role(self, member: Member, role: Role) -> None:
        """After `lock`. Raises Conflict when no owner would be left."""
        if member.role is Role.OWNER and role is not Role.OWNER:
            await self._require_another_owner()
        await execute(self._tx, _SQL["set_role"], tenant_id=self._tenant, user_id=member.user_id, role=role)

    async def delete(self, member: Member) -> None:
        """After `lock`. Raises Conflict when no owner would be left."""
        if member.role is Role.OWNER:
            await self._require_another_owner()
        await execute(self._tx, _SQL["delete"], tenant_id=self._tenant, user_id=member.user_id)

    async def _require_another_owner(self) -> None:
        row = await fetch_one(self._tx, _SQL["owners"], tenant_id=self._tenant)
        if row is None or row["owners"] < 2:
            raise Conflict("A company has at least one owner; make somebody else one first.")


def _member(row: DictRow) -> Member:
    return Member(**{**row, "role": Role(row["role"])})
