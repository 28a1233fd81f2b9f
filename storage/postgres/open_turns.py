"""Turns without an end and calls that are lost, across tenants: what a session host looks for to take over."""

from collections.abc import Callable
from dataclasses import dataclass

from domain.ids import TenantId, TurnId
from storage.postgres.database import Transaction, fetch_all
from storage.postgres.open_calls import LOST_SECONDS
from storage.postgres.queries import load

_SQL = load("turns")


@dataclass(frozen=True, slots=True)
class OpenTurns:
    """Those of one tenant."""

    tenant_id: TenantId
    plan: str
    turns: tuple[TurnId, ...]
    lost_calls: bool = False
    """Whether calls beside turns wait to be billed that nobody will end."""

    def are_run(self, runs: Callable[[TurnId], object]) -> bool:
        """Whether nothing is to be done; `runs` says which turns have somebody."""
        return not self.lost_calls and all(runs(turn) for turn in self.turns)


async def open_turns(tx: Transaction) -> list[OpenTurns]:
    """Of every tenant that has some, or lost calls; needs a system transaction."""
    rows = await fetch_all(tx, _SQL["tenants_with_open_turns"], seconds=LOST_SECONDS)
    return [
        OpenTurns(row["tenant_id"], row["plan"], tuple(map(TurnId, row["turns"])), row["lost_calls"]) for row in rows
    ]
