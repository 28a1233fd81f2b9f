"""Who is asking: tenants, their people, and the principal that authentication mints."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.ids import ChatbotId, TenantId, UserId, VisitorId


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


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated person acting for one tenant; only authentication makes one."""

    tenant_id: TenantId
    user_id: UserId
    role: Role


@dataclass(frozen=True, slots=True)
class Chatter:
    """Whoever may chat: one of the tenant's people in any session, or a visitor in their own of one chatbot."""

    tenant_id: TenantId
    visitor_id: VisitorId | None = None
    chatbot_id: ChatbotId | None = None
    """The only chatbot that a visitor may use."""
    user_id: UserId | None = None
    """Which of the tenant's people it is; None for a visitor."""
