"""What each role may do: one table, which every route and socket asks."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from domain.errors import Forbidden
from domain.tenancy import Role


class Permission(StrEnum):
    API_KEYS_MANAGE = "api_keys.manage"
    AUDIT_READ = "audit.read"
    BILLING_READ = "billing.read"
    BILLING_MANAGE = "billing.manage"
    CHATBOTS_READ = "chatbots.read"
    CHATBOTS_WRITE = "chatbots.write"
    CHATBOTS_SECRETS = "chatbots.secrets"
    CHATBOTS_GATE = "chatbots.gate"
    """Set what a draft has to reach, and publish one that does not."""
    DOCUMENTS_READ = "documents.read"
    DOCUMENTS_WRITE = "documents.write"
    CONVERSATIONS_READ = "conversations.read"
    CONVERSATIONS_REPLY = "conversations.reply"
    """Begin, continue, rename and close conversations."""
    CONVERSATIONS_DELETE = "conversations.delete"
    FEEDBACK_READ = "feedback.read"
    FEEDBACK_WRITE = "feedback.write"
    TRACES_READ = "traces.read"
    """See how an answer came about, with the prompt."""
    ANALYTICS_READ = "analytics.read"
    DATA_EXPORT = "data.export"
    DATA_ERASE = "data.erase"
    TENANT_ERASE = "tenant.erase"
    TENANT_SECURITY = "tenant.security"
    """What everybody of the company needs to sign in."""
    MEMBERS_READ = "members.read"
    MEMBERS_MANAGE = "members.manage"
    """Invite, change and remove people; what concerns owners is for owners only."""
    REVIEWS_READ = "reviews.read"
    REVIEWS_DECIDE = "reviews.decide"
    EVALUATIONS_READ = "evaluations.read"
    EVALUATIONS_RUN = "evaluations.run"
    """Make question sets too; those drawn from conversations are for who may read conversations."""


P = Permission
# Whoever reads a conversation needs the names of its bot and the passages that it cites.
_READER = frozenset((P.CHATBOTS_READ, P.DOCUMENTS_READ, P.CONVERSATIONS_READ, P.FEEDBACK_READ, P.REVIEWS_READ))
PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.OWNER: frozenset(P),
        Role.ADMIN: frozenset(P) - {P.TENANT_SECURITY, P.TENANT_ERASE},
        # Who builds a bot tries it, and reads what became of it.
        Role.EDITOR: _READER
        | {
            P.CHATBOTS_WRITE,
            P.DOCUMENTS_WRITE,
            P.CONVERSATIONS_REPLY,
            P.CONVERSATIONS_DELETE,
            P.FEEDBACK_WRITE,
            P.TRACES_READ,
            P.EVALUATIONS_READ,
            P.EVALUATIONS_RUN,
        },
        Role.ANALYST: _READER | {P.ANALYTICS_READ, P.EVALUATIONS_READ},
        Role.AGENT: _READER | {P.CONVERSATIONS_REPLY, P.FEEDBACK_WRITE, P.REVIEWS_DECIDE},
        Role.BILLING: frozenset((P.BILLING_READ, P.BILLING_MANAGE)),
    }
)
VISITOR_PERMISSIONS = frozenset(
    (
        P.CONVERSATIONS_READ,
        P.CONVERSATIONS_REPLY,
        P.CONVERSATIONS_DELETE,
        P.FEEDBACK_WRITE,
        P.DATA_EXPORT,
        P.DATA_ERASE,
    )
)
"""In their own sessions of one chatbot, and what is known of themselves, only: routes and repositories see to it."""
KEY_PERMISSIONS = frozenset(P) - {P.API_KEYS_MANAGE, P.TENANT_ERASE}
"""What an API key may be for: a key that makes keys would outlive its own end, and a company is ended by a person."""


def check(role: Role | None, permission: Permission, scopes: frozenset[str] | None = None) -> None:
    """`role` is None for a visitor; `scopes` are those of an API key. Raises Forbidden."""
    granted = VISITOR_PERMISSIONS if role is None else PERMISSIONS[role]
    if permission not in granted:
        who = "Visitors" if role is None else f"People with the role {role.value!r}"
        raise Forbidden(f"{who} may not do this.")
    if scopes is not None and (permission not in scopes or permission not in KEY_PERMISSIONS):
        raise Forbidden(f"This key is not for {permission.value!r}.")
