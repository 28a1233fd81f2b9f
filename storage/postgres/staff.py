"""The platform's staff, and what they see and do across tenants; all of it needs the system transaction."""

from dataclasses import dataclass
from datetime import datetime

from domain.errors import NotFound
from domain.ids import TenantId, UserId
from domain.staff import StaffRole
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("staff")


@dataclass(frozen=True, slots=True)
class StaffEntry:
    email: str
    role: StaffRole
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class TenantSummary:
    """How much a tenant has, never what."""

    id: TenantId
    name: str
    plan: str
    created_at: datetime
    suspended_at: datetime | None
    members: int
    chatbots: int
    documents: int
    sessions: int


class Staff:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def role(self, user_id: UserId) -> StaffRole | None:
        row = await fetch_one(self._tx, _SQL["role"], user_id=user_id)
        return StaffRole(row["role"]) if row else None

    async def grant(self, email: str, role: StaffRole) -> bool:
        """False when nobody has this address. A role given before is replaced."""
        return await execute(self._tx, _SQL["grant"], email=email, role=role) > 0

    async def revoke(self, email: str) -> bool:
        """False for who was no staff."""
        return await execute(self._tx, _SQL["revoke"], email=email) > 0

    async def list_all(self) -> list[StaffEntry]:
        """In the order of their addresses."""
        rows = await fetch_all(self._tx, _SQL["list"])
        return [StaffEntry(row["email"], StaffRole(row["role"]), row["granted_at"]) for row in rows]


class Tenants:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def list_page(self, limit: int, after: TenantId | None = None) -> list[TenantSummary]:
        """The oldest first."""
        rows = await fetch_all(self._tx, _SQL["tenants"], limit=limit, after=after)
        return [TenantSummary(**row) for row in rows]

    async def suspend(self, tenant_id: TenantId) -> bool:
        """False when it is suspended already. Raises NotFound."""
        return await self._change("suspend", tenant_id)

    async def resume(self, tenant_id: TenantId) -> bool:
        """False when it is not suspended. Raises NotFound."""
        return await self._change("resume", tenant_id)

    async def _change(self, name: str, tenant_id: TenantId) -> bool:
        if await execute(self._tx, _SQL[name], tenant_id=tenant_id):
            return True
        if await fetch_one(self._tx, _SQL["exists"], tenant_id=tenant_id) is None:
            raise NotFound("There is no such tenant.")
        return False
