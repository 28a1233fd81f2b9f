"""The platform's own staff: apart from every tenant, with rights of their own and no others."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from domain.errors import Forbidden
from domain.ids import TenantId, UserId


class StaffRole(StrEnum):
    SUPPORT = "support"
    OPERATOR = "operator"


class StaffPermission(StrEnum):
    TENANTS_READ = "platform.tenants.read"
    TENANTS_SUSPEND = "platform.tenants.suspend"


STAFF_PERMISSIONS: Mapping[StaffRole, frozenset[StaffPermission]] = MappingProxyType(
    {
        StaffRole.SUPPORT: frozenset((StaffPermission.TENANTS_READ,)),
        StaffRole.OPERATOR: frozenset(StaffPermission),
    }
)


@dataclass(frozen=True, slots=True)
class StaffMember:
    user_id: UserId
    role: StaffRole
    tenant_id: TenantId
    """The company that they are signed in to, as anybody is."""


def check_staff(role: StaffRole | None, permission: StaffPermission) -> None:
    """`role` is None for who is no staff. Raises Forbidden."""
    if role is None or permission not in STAFF_PERMISSIONS[role]:
        raise Forbidden("Only the platform's staff may do this.")
