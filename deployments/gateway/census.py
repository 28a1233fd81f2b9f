"""Counts the open sockets of this replica, in all and per tenant."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from domain.errors import QuotaExceeded, Unavailable
from domain.ids import TenantId


class SocketCensus:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._tenants: Counter[TenantId] = Counter()

    @property
    def total(self) -> int:
        return self._total

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold one place of the replica. Raises Unavailable when all are taken."""
        if self._total >= self._limit:
            raise Unavailable("Too many connections are open; try again.", retry_after=5)
        self._total += 1
        try:
            yield
        finally:
            self._total -= 1

    @contextmanager
    def enter_tenant(self, tenant_id: TenantId, limit: int) -> Iterator[None]:
        """Hold one of the tenant's places. Raises QuotaExceeded when the plan's are taken."""
        if self._tenants[tenant_id] >= limit:
            raise QuotaExceeded(f"The plan allows {limit} open connections.")
        self._tenants[tenant_id] += 1
        try:
            yield
        finally:
            self._tenants[tenant_id] -= 1
            if not self._tenants[tenant_id]:
                del self._tenants[tenant_id]
