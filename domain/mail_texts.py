"""What mails to people say: a subject and a plain text for each kind."""

import re
import unicodedata

MAX_NAME = 80
_LINK_MARKS = re.compile(r"[/\\:@<>\[\]()\"]+")

Text = tuple[str, str]
"""Subject and body."""


def shown_name(name: str) -> str:
    """A company's name as strangers may see it in a mail: one short line, of which no mail program makes a link.

    Whoever registers chooses the name, and the platform vouches for the mail with its own address: it must not
    carry somebody's advertisement, nor turn the direction of the text around it.
    """
    visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in name)
    plain = " ".join(_LINK_MARKS.sub(" ", visible).split())
    return plain if len(plain) <= MAX_NAME else plain[: MAX_NAME - 1].rstrip() + "…"


def invitation_text(company: str, role: str, link: str, days: int) -> Text:
    name = shown_name(company)
    return (
        f"You are invited to “{name}” on Loquent",
        (
            f"Somebody at “{name}” invites you to work on their chatbots with the role {role}.\n\n"
            f"Accept the invitation here:\n{link}\n\n"
            f"The link works once, within {days} days. If you do not know them, do nothing: nothing happens then.\n"
        ),
    )


def password_reset_text(link: str, minutes: int) -> Text:
    return (
        "Choose a new password for Loquent",
        (
            f"Somebody asked for a new password for this address.\n\n"
            f"Choose one here:\n{link}\n\n"
            f"The link works once, within {minutes} minutes. If it was not you, do nothing: your password stays.\n"
        ),
    )


def password_changed_text() -> Text:
    return (
        "Your Loquent password was changed",
        (
            "The password of your account was changed, and its other sessions were ended.\n\n"
            "If it was not you, ask for a new password on the sign-in page at once, and tell your administrator.\n"
        ),
    )


def email_verification_text(link: str, days: int) -> Text:
    return (
        "Confirm your e-mail address for Loquent",
        (
            f"Confirm that this address is yours:\n{link}\n\n"
            f"The link works once, within {days} days. If you did not register, do nothing.\n"
        ),
    )
