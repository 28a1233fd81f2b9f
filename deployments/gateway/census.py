"""Counts the open sockets of this replica, in all and per tenant."""

from collections import Counter

from domain.errors import QuotaExceeded, Unavailable
from domain.ids import TenantId


class SocketCensus:
    """Every `enter` that did not raise is followed by one `leave`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._tenants: Counter[TenantId] = Counter()

    @property
    def total(self) -> int:
        return self._total

    def enter(self) -> None:
        """Take one place of the replica. Raises Unavailable when all are taken."""
        if self._total >= self._limit:
            raise Unavailable("Too many connections are open; try again.", retry_after=5)
        self._total += 1

    def leave(self) -> None:
        self._total -= 1

    def enter_tenant(self, tenant_id: TenantId, limit: int) -> None:
        """Take one of the tenant's places. Raises QuotaExceeded when the plan's are taken."""
        if self._tenants[tenant_id] >= limit:
            raise QuotaExceeded(f"The plan allows {limit} open connections.", retry_after=30)
        self._tenants[tenant_id] += 1

    def leave_tenant(self, tenant_id: TenantId) -> None:
        self._tenants[tenant_id] -= 1
        if not self._tenants[tenant_id]:
            del self._tenants[tenant_id]
