"""What those who have sockets open may do now, many at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from domain.ids import TenantId, UserId
from domain.tenancy import Role
from storage.postgres.database import Transaction, fetch_all
from storage.postgres.queries import load

_SQL = load("callers")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a socket was opened by, as the database knows them."""

    tenant_id: TenantId
    kind: Literal["sign_in", "api_key", "visitor"]
    id: UUID
    user_id: UserId | None
    """Which of the tenant's people it is; None for a visitor."""


@dataclass(frozen=True, slots=True)
class Present:
    known: bool
    """False when there is no row any more: a member who was removed, a visitor who was erased."""
    suspended: bool
    """The whole tenant."""
    alive: bool
    """False for what was ended, revoked, or has expired."""
    role: Role | None
    scopes: frozenset[str] | None


class Callers:
    """Needs the system transaction: a process has sockets of many tenants."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def present(self, callers: Sequence[Caller]) -> list[Present]:
        """In the order of `callers`; one statement for all of them."""
        rows = await fetch_all(
            self._tx,
            _SQL["present"],
            numbers=list(range(len(callers))),
            tenants=[caller.tenant_id for caller in callers],
            kinds=[caller.kind for caller in callers],
            ids=[caller.id for caller in callers],
        )
        rows.sort(key=lambda row: int(row["number"]))
        return [
            Present(
                row["known"],
                row["suspended"],
                row["alive"],
                Role(row["role"]) if row["role"] else None,
                frozenset(row["scopes"]) if row["scopes"] is not None else None,
            )
            for row in rows
        ]
