"""Mail that waits to be sent, by what it is about; text and links are made when it is sent."""

from dataclasses import dataclass
from uuid import UUID

from domain.ids import new_uuid
from domain.mail import MailKind
from storage.postgres.database import Transaction, execute, fetch_all
from storage.postgres.queries import load

_SQL = load("mail_queue")
_DAY = 86_400
GIVE_UP_SECONDS = {
    MailKind.INVITATION: 3 * _DAY,
    MailKind.PASSWORD_CHANGED: 3 * _DAY,
    MailKind.EMAIL_VERIFICATION: 3 * _DAY,
    MailKind.BUDGET_REACHED: 3 * _DAY,
    # Who still waits has asked again.
    MailKind.PASSWORD_RESET: 3_600,
}
"""How long the sending is tried."""


@dataclass(frozen=True, slots=True)
class QueuedMail:
    id: UUID
    kind: MailKind
    recipient: str
    about: UUID | None
    """The invitation, the user or the notice; None where only the address is known."""
    attempts: int
    overdue: bool
    """To be given up."""


class MailQueue:
    """Needs the system transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def insert(self, kind: MailKind, recipient: str, about: UUID | None = None) -> None:
        """Sent if and only if the transaction commits, at least once."""
        values = {"id": new_uuid(), "kind": kind, "recipient": recipient, "about": about}
        await execute(self._tx, _SQL["insert"], **values, seconds=GIVE_UP_SECONDS[kind])

    async def claim(self, limit: int) -> list[QueuedMail]:
        """What is due; it comes again after a while unless it is deleted."""
        rows = await fetch_all(self._tx, _SQL["claim"], limit=limit)
        return [QueuedMail(**{**row, "kind": MailKind(row["kind"])}) for row in rows]

    async def delete(self, mail_id: UUID) -> None:
        await execute(self._tx, _SQL["delete"], id=mail_id)
