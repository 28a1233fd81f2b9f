"""Calls of models beside the turns, from before they begin until they are in the ledger: none is lost unbilled."""

from dataclasses import dataclass

from domain.errors import StaleEpoch
from domain.generation import Usage
from domain.ids import ChatbotId, TenantId, TurnId
from domain.metering import CallKind, ModelCall, UseKind
from storage.postgres.database import Transaction, execute, fetch_all
from storage.postgres.queries import load

_SQL = load("open_calls")

LOST_SECONDS = 180.0
"""Longer than any of them takes with its bill."""


@dataclass(frozen=True, slots=True)
class LostCall:
    id: TurnId
    chatbot_id: ChatbotId
    kind: UseKind
    call: ModelCall
    """The most that it can have been."""


class OpenCalls:
    def __init__(self, tx: Transaction, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant_id

    async def open(self, call_id: TurnId, chatbot_id: ChatbotId, kind: UseKind, most: ModelCall, epoch: int) -> None:
        """A call begins that is `most` at most, with its price. Raises StaleEpoch when another host has the tenant."""
        added = await execute(
            self._tx,
            _SQL["open"],
            tenant_id=self._tenant,
            id=call_id,
            chatbot_id=chatbot_id,
            kind=kind,
            model=most.model,
            epoch=epoch,
            prompt_tokens=most.usage.prompt_tokens,
            completion_tokens=most.usage.completion_tokens,
            cost_micro=most.cost_micro,
        )
        if not added:
            raise StaleEpoch

    async def close(self, call_id: TurnId) -> bool:
        """It has ended and is billed in this transaction; False when it was given up for lost and is in the ledger."""
        return await execute(self._tx, _SQL["close"], tenant_id=self._tenant, id=call_id) == 1

    async def take_lost(self, epoch: int) -> list[LostCall]:
        """Take out those of earlier epochs, and those that are too old: they have to be billed in this transaction."""
        rows = await fetch_all(self._tx, _SQL["take_lost"], tenant_id=self._tenant, epoch=epoch, seconds=LOST_SECONDS)
        return [
            LostCall(
                row["id"],
                row["chatbot_id"],
                UseKind(row["kind"]),
                ModelCall(
                    CallKind(row["kind"]),
                    "",
                    row["model"],
                    Usage(row["prompt_tokens"], row["completion_tokens"]),
                    row["cost_micro"],
                ),
            )
            for row in rows
        ]
