"""Turns without an end, across tenants: what a session host looks for to take over."""

from dataclasses import dataclass

from domain.ids import TenantId, TurnId
from storage.postgres.database import Transaction, fetch_all
from storage.postgres.queries import load

_SQL = load("turns")


@dataclass(frozen=True, slots=True)
class OpenTurns:
    """Those of one tenant."""

    tenant_id: TenantId
    plan: str
    turns: tuple[TurnId, ...]


async def open_turns(tx: Transaction) -> list[OpenTurns]:
    """Of every tenant that has some; needs a system transaction."""
    rows = await fetch_all(tx, _SQL["tenants_with_open_turns"])
    return [OpenTurns(row["tenant_id"], row["plan"], tuple(map(TurnId, row["turns"]))) for row in rows]
