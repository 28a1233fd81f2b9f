"""Who is asking: tenants, their people, and the principal that authentication mints."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.ids import TenantId, UserId


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"


@dataclass(frozen=True, slots=True)
class Tenant:
    id: TenantId
    name: str
    plan: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    id: UserId
    email: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated person acting for one tenant; only authentication makes one."""

    tenant_id: TenantId
    user_id: UserId
    role: Role
