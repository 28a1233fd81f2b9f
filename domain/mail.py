"""Mail to people: what kinds there are, one mail, and where a mail server is."""

from dataclasses import dataclass, field
from email.utils import parseaddr
from enum import StrEnum
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

_TLS = ("starttls", "implicit", "none")


class MailKind(StrEnum):
    INVITATION = "invitation"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - a name
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a name
    EMAIL_VERIFICATION = "email_verification"
    BUDGET_REACHED = "budget_reached"


@dataclass(frozen=True, slots=True)
class Mail:
    """One plain text to one address. A mail that is sent again keeps its id."""

    id: UUID
    recipient: str
    subject: str
    body: str = field(repr=False)
    """It may hold a link that opens an account: it is neither logged nor stored."""


class MailRefused(Exception):
    """The mail will never be taken: trying again is no use."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over, and as whom."""

    host: str
    port: int
    tls: str
    """`starttls` (required, not merely tried), `implicit` or `none`."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """`smtp://user:password@host:587?tls=starttls`; `smtps://` is TLS from the start, on port 465.

        Raises ValueError with a sentence that does not repeat the URL.
        """
        parts = urlsplit(url)
        given = parse_qs(parts.query, keep_blank_values=True)
        tls = given.pop("tls", ["implicit" if parts.scheme == "smtps" else "starttls"])
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("a mail server is `smtp://user:password@host:587?tls=starttls`")
        if len(tls) != 1 or tls[0] not in _TLS or given or (parts.scheme == "smtps" and tls[0] != "implicit"):
            raise ValueError("`tls` is one of starttls, implicit and none")
        user, password = parts.username, parts.password
        if (user is None) != (password is None):
            raise ValueError("a mail server has a user with a password, or neither")
        return cls(
            parts.hostname,
            parts.port or (465 if tls[0] == "implicit" else 587),
            tls[0],
            unquote(user) if user is not None else None,
            unquote(password) if password is not None else None,
        )


def checked_sender(sender: str) -> str:
    """`Name <address>` or an address. Raises ValueError for what would be more than one line or is no address."""
    if any(ord(character) < 32 for character in sender):
        raise ValueError("a sender is one line")
    name, _, domain = parseaddr(sender)[1].partition("@")
    if not name or not domain:
        raise ValueError("a sender is `Name <name@host>`")
    return sender
