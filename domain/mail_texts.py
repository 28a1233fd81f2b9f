"""What mails to people say: a subject and a plain text for each kind."""

import re
import unicodedata

from domain.budget import BudgetKind, BudgetLevel, BudgetNotice, day_text, next_month

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


def budget_text(company: str, notice: BudgetNotice, chatbot: str | None) -> Text:
    """`chatbot` is the bot's name; None when the budget is the plan's."""
    if notice.budget is BudgetKind.VISITOR_TOKENS:
        return _visitor_text(company, notice, chatbot)
    whose = f"The chatbot “{shown_name(chatbot)}”" if chatbot is not None else "Your company"
    again = day_text(next_month(notice.period))
    if notice.budget is BudgetKind.TOKENS:
        share = f"{notice.used:,} of {notice.limit:,} tokens"
    else:
        share = f"{notice.used / 1_000_000:,.2f} of {notice.limit / 1_000_000:,.2f} in money"
    if notice.level is BudgetLevel.HARD:
        subject, state = "is used up", f"Questions are refused until it begins anew on {again} (UTC)."
    else:
        subject, state = "is nearly used up", f"Once all of it is used, questions are refused until {again} (UTC)."
    return (
        f"A budget of “{shown_name(company)}” on Loquent {subject}",
        f"{whose} has used {share} of the month's budget.\n\n{state}\n\nThis is told once a month.\n",
    )


def _visitor_text(company: str, notice: BudgetNotice, chatbot: str | None) -> Text:
    reached = "has reached" if notice.level is BudgetLevel.HARD else "comes near to"
    return (
        f"A visitor's daily budget of “{shown_name(company)}” on Loquent",
        (
            f"A visitor of the chatbot “{shown_name(chatbot or '')}” {reached} what one may use in a day"
            f" ({notice.used:,} of {notice.limit:,} tokens).\n\nOnce all of it is used, their questions are"
            " refused until midnight (UTC).\n\nThis is told once a month, whoever it is.\n"
        ),
    )
