"""A mail as RFC 5322 has it; whatever would be more than its own line is refused."""

from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from domain.mail import Mail, MailRefused


def message_of(mail: Mail, sender: str) -> EmailMessage:
    """The message for one recipient. Raises MailRefused for an address that not every server takes."""
    message = EmailMessage(policy=SMTP)
    if not (mail.recipient + mail.subject).isprintable():
        raise MailRefused("The address or the subject has characters that do not show.")
    domain = parseaddr(sender)[1].rpartition("@")[2]
    try:
        message["From"] = sender
        message["To"] = Address(addr_spec=_in_ascii(mail.recipient))
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(datetime.now(UTC))
        # The same for a mail that goes out twice: programs show it once.
        message["Message-ID"] = f"<{mail.id}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
    except (ValueError, MessageError, IndexError) as error:
        raise MailRefused("The address or the subject is not fit for a mail.") from error
    message.set_content(mail.body)
    return message


def _in_ascii(address: str) -> str:
    """With the domain as the DNS knows it. Raises ValueError for what has no such form."""
    name, _, domain = address.rpartition("@")
    return f"{name}@{domain.encode('idna').decode()}"
