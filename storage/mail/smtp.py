"""Mail over SMTP, a connection for each: there are few, and a server may go away between two."""

import aiosmtplib
from aiosmtplib import SMTPDataError, SMTPException, SMTPRecipientRefused, SMTPRecipientsRefused

from domain.errors import Unavailable
from domain.mail import Mail, MailRefused, SmtpServer
from storage.mail.message import message_of

TIMEOUT_SECONDS = 10.0
"""For each command."""
_PERMANENT = 500
"""Replies from here on say that trying again is no use. Source: RFC 5321, section 4.2.1."""


class SmtpMailer:
    def __init__(self, server: SmtpServer, sender: str) -> None:
        self._server = server
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        server = self._server
        message = message_of(mail, self._sender)
        try:
            await aiosmtplib.send(
                message,
                recipients=[message["To"].addresses[0].addr_spec],
                hostname=server.host,
                port=server.port,
                username=server.user,
                password=server.password,
                use_tls=server.tls == "implicit",
                start_tls=server.tls == "starttls",
                timeout=TIMEOUT_SECONDS,
            )
        except (SMTPRecipientRefused, SMTPRecipientsRefused, SMTPDataError) as error:
            if _is_permanent(error):
                raise MailRefused(f"The mail server refused it with {_codes(error)}.") from error
            raise Unavailable("The mail server does not take it at the moment.") from error
        except (SMTPException, OSError, ValueError) as error:
            # A refused log-in or sender is the operator's to repair: the mail waits.
            raise Unavailable(f"The mail server cannot be used ({type(error).__name__}).") from error


def _codes(error: SMTPRecipientRefused | SMTPRecipientsRefused | SMTPDataError) -> list[int]:
    if isinstance(error, SMTPRecipientsRefused):
        return [refused.code for refused in error.recipients]
    return [error.code]


def _is_permanent(error: SMTPRecipientRefused | SMTPRecipientsRefused | SMTPDataError) -> bool:
    return all(code >= _PERMANENT for code in _codes(error))
