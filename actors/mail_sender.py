"""Sends queued mail: what a mail says, and its link, is made when it goes out and stored nowhere."""

import asyncio

import structlog

from domain.errors import AppError, Unavailable
from domain.mail import Mail, MailKind, MailRefused
from domain.mail_texts import (
    Text,
    budget_text,
    email_verification_text,
    invitation_text,
    password_changed_text,
    password_reset_text,
)
from domain.one_time import new_secret
from domain.ports import Mailer
from storage.postgres.budget_notices import BudgetNotices
from storage.postgres.database import Database, Transaction, system_tx
from storage.postgres.invitations import LIFETIME_DAYS, InvitationLinks
from storage.postgres.mail_queue import MailQueue, QueuedMail
from storage.postgres.people import AccountLinks, LinkPurpose, People

log = structlog.get_logger()

BATCH = 8
SEND_SECONDS = 25.0
"""Less than the shortest time after which a mail is taken again."""
RESET_MINUTES = 60
VERIFICATION_DAYS = 3


class MailSender:
    """At least once: a mail may come twice when a process dies after sending it, but none is lost."""

    def __init__(self, db: Database, mailer: Mailer, page_url: str) -> None:
        self._db = db
        self._mailer = mailer
        self._page_url = page_url

    async def send_due(self) -> float | None:
        """Send what is due, some at once; returns 0 when there may be more."""
        async with system_tx(self._db) as tx:
            due = await MailQueue(tx).claim(BATCH)
        await asyncio.gather(*(self._handle(queued) for queued in due))
        return 0.0 if len(due) == BATCH else None

    async def _handle(self, queued: QueuedMail) -> None:
        """Never raises what sending may raise: a mail that fails keeps no other one waiting."""
        about = {"mail_id": str(queued.id), "kind": queued.kind.value, "attempts": queued.attempts}
        try:
            if queued.overdue:
                log.error("mail.given_up", **about)
            elif (mail := await self._prepare(queued)) is not None:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._mailer.send(mail)
                log.info("mail.sent", **about)
            await self._delete(queued)
        except MailRefused as error:
            log.error("mail.refused", **about, reason=str(error))
            await self._delete(queued)
        except (AppError, TimeoutError) as error:
            log.warning("mail.delayed", **about, reason=str(error) or type(error).__name__)

    async def _prepare(self, queued: QueuedMail) -> Mail | None:
        """The mail with a link that works from now on; None when nobody is there to get it (any more)."""
        async with system_tx(self._db) as tx:
            text = await self._text(tx, queued)
        return Mail(queued.id, queued.recipient, *text) if text is not None else None

    async def _text(self, tx: Transaction, queued: QueuedMail) -> Text | None:
        if queued.kind is MailKind.BUDGET_REACHED:
            assert queued.about is not None
            told = await BudgetNotices(tx).get(queued.about)
            return None if told is None else budget_text(told[1], told[0], told[2])
        secret, secret_hash = new_secret()
        if queued.kind is MailKind.INVITATION:
            assert queued.about is not None
            found = await InvitationLinks(tx).set_token(queued.about, secret_hash)
            if found is None:
                return None
            role, company = found
            return invitation_text(company, role, self._link("invite", secret), LIFETIME_DAYS)
        links, person = AccountLinks(tx), await People(tx).find_by_email(queued.recipient)
        if person is None:
            return None
        if queued.kind is MailKind.PASSWORD_CHANGED:
            return password_changed_text()
        if queued.kind is MailKind.PASSWORD_RESET:
            await links.insert(person.user.id, LinkPurpose.PASSWORD_RESET, secret_hash, RESET_MINUTES * 60)
            return password_reset_text(self._link("reset", secret), RESET_MINUTES)
        if person.user.email_verified_at is not None:
            return None
        await links.insert(person.user.id, LinkPurpose.EMAIL_VERIFICATION, secret_hash, VERIFICATION_DAYS * 86_400)
        return email_verification_text(self._link("verify", secret), VERIFICATION_DAYS)

    def _link(self, form: str, secret: str) -> str:
        """The secret stands in the fragment, which browsers send to nobody: no log and no Referer has it."""
        return f"{self._page_url}/#/{form}/{secret}"

    async def _delete(self, queued: QueuedMail) -> None:
        try:
            async with system_tx(self._db) as tx:
                await MailQueue(tx).delete(queued.id)
        except Unavailable:
            # It goes out once more.
            log.warning("mail.not_forgotten", mail_id=str(queued.id))
