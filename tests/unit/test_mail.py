"""Mail without a server: addresses, settings, names of strangers, and headers that nobody can break out of."""

import email
from email.policy import default
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr, ValidationError

from configs.settings import Settings
from domain.mail import Mail, MailRefused, SmtpServer, checked_sender
from domain.mail_texts import MAX_NAME, invitation_text, shown_name
from storage.mail import open_mailer
from storage.mail.folder import FolderMailer
from storage.mail.message import message_of
from storage.mail.smtp import SmtpMailer

SENDER = "Löquent <no-reply@loquent.example>"


def mail(recipient: str = "ada@example.org", subject: str = "Hello", body: str = "Text\n") -> Mail:
    return Mail(uuid4(), recipient, subject, body)


def test_a_message_is_one_plain_text_for_one_address() -> None:
    sent = mail(subject="You are invited to “Büro”", body="Grüße\n.\nhttps://chat.example/#/invite/abc\n")
    data = message_of(sent, SENDER).as_bytes()
    data.decode("utf-8")
    head = data.partition(b"\r\n\r\n")[0]
    assert head.isascii()
    read = email.message_from_bytes(data, policy=default)
    assert (read["From"], read["To"], read["Subject"]) == (SENDER, "ada@example.org", sent.subject)
    assert read["Message-ID"] == f"<{sent.id}@loquent.example>"
    assert read.get_content_type() == "text/plain"
    assert read.get_content().splitlines() == sent.body.splitlines()


def test_the_domain_goes_as_the_dns_knows_it() -> None:
    assert message_of(mail("ada@bücher.example"), SENDER)["To"] == "ada@xn--bcher-kva.example"


@pytest.mark.parametrize(
    "recipient",
    [
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org\nBcc: eve@example.org",
        "ada@example.org, eve@example.org",
        "Ada <ada@example.org>",
        "ada eve@example.org",
        "ada@example.org>\r\nRCPT TO:<eve@example.org",
        "ada@example.org\x00",
        "ädä@example.org",
        "ada@" + "x" * 70 + ".org",
        "ada@..",
        "ada",
        "@",
        "",
    ],
)
def test_what_is_no_single_address_is_refused_for_good(recipient: str) -> None:
    with pytest.raises(MailRefused):
        message_of(mail(recipient), SENDER)


@pytest.mark.parametrize(
    "subject", ["Hello\r\nBcc: eve@example.org", "Hello\nX: y", "Hello\r", "Hello\rX: y", "Hello\x00"]
)
def test_a_subject_cannot_begin_another_header(subject: str) -> None:
    with pytest.raises(MailRefused):
        message_of(mail(subject=subject), SENDER)


def test_a_text_cannot_end_the_mail_or_begin_another_header() -> None:
    read = email.message_from_bytes(message_of(mail(body="\r\n.\r\nBcc: eve@example.org\r\n"), SENDER).as_bytes())
    assert read["Bcc"] is None


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Example Ltd", "Example Ltd"),
        ("Booking.com", "Booking.com"),
        ("Bücher & Söhne", "Bücher & Söhne"),
        ("  two \t lines\r\nBcc: eve@example.org", "two lines Bcc eve example.org"),
        ("Your account is locked: https://evil.example/login", "Your account is locked https evil.example login"),
        ("<a href='x'>Click</a>", "a href='x' Click a"),
        ("\u202egnidnatsni\u2066", "gnidnatsni"),
        ("a\u200bb\x00c", "a b c"),
        ("\ud800", ""),
        ("😀", "😀"),
    ],
)
def test_a_company_name_in_a_mail_is_one_line_without_links_and_tricks(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_a_long_name_is_cut() -> None:
    assert len(shown_name("x" * 10_000)) == MAX_NAME
    subject, body = invitation_text("y" * 10_000, "editor", "https://chat.example/#/invite/abc", 7)
    assert len(subject) < 200
    assert len(body) < 600


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", 587, "starttls")),
        ("smtp://mail.example:25?tls=none", SmtpServer("mail.example", 25, "none")),
        ("smtps://mail.example", SmtpServer("mail.example", 465, "implicit")),
        ("smtp://mail.example?tls=implicit", SmtpServer("mail.example", 465, "implicit")),
        (
            "smtp://a%40b:p%2Fw%3A@[::1]:2525?tls=starttls",
            SmtpServer("::1", 2525, "starttls", "a@b", "p/w:"),
        ),
    ],
)
def test_a_mail_server_is_a_url(url: str, server: SmtpServer) -> None:
    assert SmtpServer.parse(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example:25",
        "http://mail.example",
        "smtp://",
        "smtp://mail.example/path",
        "smtp://mail.example?tls=maybe",
        "smtp://mail.example?tls=none&tls=starttls",
        "smtp://mail.example?ssl=1",
        "smtps://mail.example?tls=none",
        "smtp://user@mail.example",
        "smtp://user:hunter2@mail.example:99999",
    ],
)
def test_what_is_no_mail_server_ends_the_start_without_repeating_it(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(smtp_url=SecretStr(url))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("sender", ["", "Loquent", "a@b\r\nBcc: c@d", "Loquent <>", "@b", "a@"])
def test_a_sender_is_one_address(sender: str) -> None:
    with pytest.raises(ValueError, match="a sender is"):
        checked_sender(sender)


def test_settings_choose_where_mail_goes_and_keep_the_password_to_themselves(tmp_path: Path) -> None:
    assert isinstance(open_mailer(Settings(data_dir=tmp_path)), FolderMailer)
    server = Settings(smtp_url=SecretStr("smtp://user:hunter2@mail.example"))
    assert isinstance(open_mailer(server), SmtpMailer)
    assert "hunter2" not in repr(server) + repr(SmtpServer.parse("smtp://user:hunter2@mail.example"))
    assert Settings(host="10.0.0.1", port=81).page_url == "http://10.0.0.1:81"
    assert Settings(public_url="https://chat.example").page_url == "https://chat.example"


async def test_a_file_is_whole_private_and_the_same_when_it_is_sent_again(tmp_path: Path) -> None:
    mailer, sent = FolderMailer(tmp_path / "mail", SENDER), mail()
    await mailer.send(sent)
    await mailer.send(sent)
    (file,) = (tmp_path / "mail").iterdir()
    assert file.name == f"{sent.id}.eml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_mail_does_not_show_its_text() -> None:
    assert "secret" not in repr(mail(body="secret"))
