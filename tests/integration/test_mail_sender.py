"""Queued mail: sent at least once, with back-off, given up in the end, and no secret stored on the way."""

import asyncio
import base64
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from actors import mail_sender
from actors.mail_sender import MailSender
from domain.errors import Unavailable
from domain.ids import new_uuid
from domain.mail import Mail, MailKind, MailRefused, SmtpServer
from domain.one_time import hash_of_secret
from storage.mail.smtp import SmtpMailer
from storage.postgres.database import system_tx
from storage.postgres.mail_queue import MailQueue
from tests.fixtures.mail import PAGE, SENDER, MailServer, Post


class BrokenMailer:
    """Fails with what a test wants, then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.sent: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(mail)


async def due_again(post: Post) -> None:
    """The pause is over."""
    await post.run("update mail_queue set next_attempt_at = now() - interval '1 second'")


async def test_registering_sends_a_link_whose_secret_is_stored_nowhere(post: Post) -> None:
    tenant = await post.rig.register()
    (row,) = await post.queued()
    assert (row["kind"], row["recipient"]) == ("email_verification", tenant.email)
    secret = await post.link(tenant.email, "verify")
    assert await post.queued() == []
    (link,) = await post.rows("select * from account_links where user_id = %s", tenant.grant["user"]["id"])
    assert bytes(link["token_hash"]) == hash_of_secret(secret)
    assert secret not in repr(link)


async def test_a_failure_waits_longer_each_time_and_the_mail_goes_out_once(post: Post) -> None:
    tenant = await post.rig.register()
    mailer = BrokenMailer(Unavailable("No."), TimeoutError(), Unavailable("No."))
    sender = MailSender(post.rig.services.db, mailer, PAGE)
    pauses = []
    for attempts in (1, 2, 3):
        await sender.send_due()
        (row,) = await post.rows("select *, next_attempt_at - now() as pause from mail_queue")
        assert row["attempts"] == attempts
        pauses.append(round(row["pause"].total_seconds() / 30))
        # It is not due yet.
        await sender.send_due()
        await due_again(post)
    assert pauses == [1, 2, 4]
    await sender.send_due()
    await sender.send_due()
    assert [mail.recipient for mail in mailer.sent] == [tenant.email]
    assert await post.queued() == []


async def test_one_that_fails_keeps_no_other_waiting(post: Post) -> None:
    for _ in range(3):
        await post.rig.register()
    mailer = BrokenMailer(Unavailable("No."))
    await MailSender(post.rig.services.db, mailer, PAGE).send_due()
    assert len(mailer.sent) == 2
    assert len(await post.queued()) == 1


async def test_what_is_refused_for_good_is_dropped_and_told_without_the_address(post: Post) -> None:
    tenant = await post.rig.register()
    with capture_logs() as logs:
        await MailSender(post.rig.services.db, BrokenMailer(MailRefused("No such box.")), PAGE).send_due()
    assert await post.queued() == []
    assert [entry["log_level"] for entry in logs if entry["event"] == "mail.refused"] == ["error"]
    assert tenant.email not in repr(logs)


async def test_after_days_a_mail_is_given_up_visibly(post: Post) -> None:
    await post.rig.register()
    mailer = BrokenMailer(*[Unavailable("No.")] * 5)
    sender = MailSender(post.rig.services.db, mailer, PAGE)
    await sender.send_due()
    await due_again(post)
    await post.run("update mail_queue set give_up_at = now() - interval '1 second'")
    with capture_logs() as logs:
        await sender.send_due()
    assert await post.queued() == []
    assert [entry["log_level"] for entry in logs if entry["event"] == "mail.given_up"] == ["error"]
    assert mailer.sent == []


async def test_a_process_that_dies_while_sending_loses_nothing(post: Post) -> None:
    tenant = await post.rig.register()
    begun = asyncio.Event()

    class Hanging:
        async def send(self, mail: Mail) -> None:
            begun.set()
            await asyncio.Event().wait()

    dying = asyncio.create_task(MailSender(post.rig.services.db, Hanging(), PAGE).send_due())
    await asyncio.wait_for(begun.wait(), 10)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert len(await post.queued()) == 1
    await due_again(post)
    await post.deliver()
    assert len(post.links(tenant.email, "verify")) == 1


async def test_one_that_hangs_is_left_behind(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_sender, "SEND_SECONDS", 0.01)
    await post.rig.register()

    class Hanging:
        async def send(self, mail: Mail) -> None:
            await asyncio.Event().wait()

    await asyncio.wait_for(MailSender(post.rig.services.db, Hanging(), PAGE).send_due(), 10)
    assert len(await post.queued()) == 1


async def test_two_senders_never_take_the_same_mail(post: Post) -> None:
    for _ in range(20):
        await post.rig.register()
    mailers = BrokenMailer(), BrokenMailer()

    async def drain(mailer: BrokenMailer) -> None:
        while await MailSender(post.rig.services.db, mailer, PAGE).send_due() is not None:
            pass

    await asyncio.gather(*(drain(mailer) for mailer in mailers))
    ids = [mail.id for mailer in mailers for mail in mailer.sent]
    assert len(ids) == len(set(ids)) == 20


async def test_mail_about_what_is_gone_is_dropped(post: Post) -> None:
    async with system_tx(post.rig.services.db) as tx:
        for kind in (MailKind.PASSWORD_RESET, MailKind.EMAIL_VERIFICATION, MailKind.PASSWORD_CHANGED):
            await MailQueue(tx).insert(kind, "nobody@example.org")
        await MailQueue(tx).insert(MailKind.INVITATION, "nobody@example.org", new_uuid())
    await post.deliver()
    assert await post.queued() == []
    assert post.mails("nobody@example.org") == []


async def test_a_folder_that_cannot_be_written_delays(post: Post, tmp_path: Path) -> None:
    await post.rig.register()
    post.folder = tmp_path / "file"
    post.folder.write_text("not a folder")
    await post.deliver()
    (row,) = await post.queued()
    assert row["attempts"] == 1


async def test_a_real_server_gets_the_mail_of_whom_it_knows(post: Post, mail_server: MailServer) -> None:
    tenant = await post.rig.register()
    server = SmtpServer("127.0.0.1", mail_server.port, "none", "mailer", "pass/word@1")
    await MailSender(post.rig.services.db, SmtpMailer(server, SENDER), PAGE).send_due()
    (envelope,) = mail_server.taken
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@loquent.example", [tenant.email])
    content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
    text = content.partition(b"\r\n\r\n")[2]
    assert b"/#/verify/" in text or b"/#/verify/" in base64.b64decode(text)
    assert await post.queued() == []


@pytest.mark.parametrize(
    ("reply", "kept"), [("451 4.3.0 Try again", True), ("550 5.1.1 No such box", False), ("450 4.2.1 Greylisted", True)]
)
async def test_a_server_says_whether_to_try_again(post: Post, mail_server: MailServer, reply: str, kept: bool) -> None:
    await post.rig.register()
    mail_server.replies.append(reply)
    sender = MailSender(
        post.rig.services.db, SmtpMailer(SmtpServer("127.0.0.1", mail_server.port, "none"), SENDER), PAGE
    )
    await sender.send_due()
    assert bool(await post.queued()) is kept
    await due_again(post)
    await sender.send_due()
    assert len(mail_server.taken) == int(kept)


async def test_a_wrong_log_in_a_missing_server_and_missing_tls_keep_the_mail(
    post: Post, mail_server: MailServer
) -> None:
    await post.rig.register()
    for server in (
        SmtpServer("127.0.0.1", mail_server.port, "none", "mailer", "wrong"),
        SmtpServer("127.0.0.1", mail_server.port, "starttls"),
        SmtpServer("127.0.0.1", 1, "none"),
    ):
        await MailSender(post.rig.services.db, SmtpMailer(server, SENDER), PAGE).send_due()
        assert len(await post.queued()) == 1
        await due_again(post)
    assert mail_server.taken == []
