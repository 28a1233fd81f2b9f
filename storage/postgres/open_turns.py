"""Turns without an end, across tenants: what a session host looks for to take over."""

from uuid import UUID

from domain.ids import TenantId, TurnId
from storage.postgres.database import Transaction, fetch_all
from storage.postgres.queries import load

_SQL = load("turns")


async def tenants_with_open_turns(tx: Transaction) -> dict[TenantId, list[TurnId]]:
    """The open turns of each tenant that has some; needs a system transaction."""
    rows = await fetch_all(tx, _SQL["tenants_with_open_turns"])
    turns: dict[TenantId, list[UUID]] = {row["tenant_id"]: row["turns"] for row in rows}
    return {tenant_id: [TurnId(turn) for turn in found] for tenant_id, found in turns.items()}
