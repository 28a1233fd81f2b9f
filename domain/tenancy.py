"""Who is asking: tenants, their people, and the principal that authentication mints."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.ids import ApiKeyId, ChatbotId, SignInId, TenantId, UserId, VisitorId


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    ANALYST = "analyst"
    AGENT = "agent"
    BILLING = "billing"


@dataclass(frozen=True, slots=True)
class Tenant:
    id: TenantId
    name: str
    plan: str
    created_at: datetime
    suspended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class User:
    id: UserId
    email: str
    created_at: datetime
    email_verified_at: datetime | None = None


class SignInMethod(StrEnum):
    """How somebody proved who they are."""

    REGISTRATION = "registration"
    PASSWORD = "password"  # noqa: S105 - a name
    OIDC = "oidc"
    INVITATION = "invitation"
    SWITCH = "switch"
    """From another of the person's companies."""
    DEMO = "demo"


@dataclass(frozen=True, slots=True)
class Device:
    """What somebody signs in with, as far as it tells."""

    user_agent: str
    """At most 200 printable characters of ASCII."""
    ip: str | None


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated person acting for one tenant, by themselves or through a key; only authentication makes one."""

    tenant_id: TenantId
    user_id: UserId
    role: Role
    sign_in_id: SignInId | None = None
    """What the person's access token came from; None for a key."""
    api_key_id: ApiKeyId | None = None
    scopes: frozenset[str] | None = None
    """The permissions that the key is for; None for a person, who has all of their role."""


@dataclass(frozen=True, slots=True)
class Chatter:
    """Whoever may chat: one of the tenant's people in any session, or a visitor in their own of one chatbot."""

    tenant_id: TenantId
    visitor_id: VisitorId | None = None
    chatbot_id: ChatbotId | None = None
    """The only chatbot that a visitor may use."""
    user_id: UserId | None = None
    """Which of the tenant's people it is; None for a visitor."""
    api_key_id: ApiKeyId | None = None
    """The key that the person chats through."""
