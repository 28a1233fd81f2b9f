"""Summaries of conversations, each up to a turn of one branch."""

from collections.abc import Sequence

from domain.ids import SessionId, TenantId, TurnId
from domain.sealing import summary_place
from storage.postgres.database import Transaction, execute, queue
from storage.postgres.queries import load
from storage.postgres.tenant_keys import cipher_of

_SQL = load("summaries")


class Summaries:
    def __init__(self, tx: Transaction, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant = tenant_id

    async def add(
        self,
        session_id: SessionId,
        turns: Sequence[TurnId],
        previous: TurnId | None,
        summary: str,
        model: str,
        epoch: int,
    ) -> bool:
        """Store what was said in `turns`, oldest first, and in those that the summary up to `previous` holds.

        False where it is of no use any more: another host has the tenant, the branch has one up to there, or something
        of it was withheld or erased meanwhile.
        """
        cipher, reaches_to = await cipher_of(self._tx, self._tenant), turns[-1]
        await queue(self._tx, _SQL["lock_session"], tenant_id=self._tenant, session_id=session_id)
        added = await execute(
            self._tx,
            _SQL["insert"],
            tenant_id=self._tenant,
            session_id=session_id,
            turn_id=reaches_to,
            turns=list(turns),
            previous=previous,
            sealed=cipher.seal_text(summary_place(session_id, reaches_to), summary),
            model=model,
            epoch=epoch,
        )
        return added == 1
