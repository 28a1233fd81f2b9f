"""Which turns of a process run now: a weighted fair share between tenants, and a bounded queue for each."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from domain.errors import RateLimited
from domain.ids import TenantId

TOLD_POSITIONS = 20
"""Further back in a queue only every tenth place is told: nobody counts there, and telling has its price."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a tenant's plan grants."""

    weight: float
    max_running: int
    max_queued: int


class Ticket:
    """A turn's place: running, or waiting at `position`."""

    __slots__ = ("_moved", "position", "running", "tenant_id")

    def __init__(self, tenant_id: TenantId) -> None:
        self.tenant_id = tenant_id
        self.running = False
        self.position = 0
        """From 1 while it waits."""
        self._moved: Callable[[], None] | None = None

    def on_move(self, moved: Callable[[], None]) -> None:
        """Call `moved` whenever the place has changed."""
        self._moved = moved

    def move(self, position: int) -> None:
        told = position <= TOLD_POSITIONS or position % 10 == 0
        self.position = position
        self.running = position == 0
        if self._moved is not None and told:
            self._moved()


class _Line:
    """One tenant's turns."""

    __slots__ = ("clock", "queue", "running", "share")

    def __init__(self, share: Share, clock: float) -> None:
        self.share = share
        self.clock = clock
        self.running = 0
        self.queue: deque[Ticket] = deque()


class FairShare:
    """Start-time fair queueing: each start moves the tenant's clock on by 1/weight, the earliest clock starts next.

    Source: Goyal, Vin and Cheng, "Start-time fair queueing", 1996, with turns of equal length.
    """

    def __init__(self, capacity: int) -> None:
        """`capacity` is how many turns run at once in this process."""
        self._capacity = capacity
        self._running = 0
        self._clock = 0.0
        self._lines: dict[TenantId, _Line] = {}
        self._waiting: dict[TenantId, _Line] = {}
        """Lines with a queue."""
        self._idle: set[TenantId] = set()
        """Lines without a turn that are kept for their clock, as long as somebody waits."""

    def enter(self, tenant_id: TenantId, share: Share, *, forced: bool = False) -> Ticket:
        """A place for one more turn. Raises RateLimited when the queue is full, unless it is `forced`."""
        line = self._lines.get(tenant_id) or _Line(share, self._clock)
        waits = self._running >= self._capacity or line.running >= share.max_running or bool(line.queue)
        if waits and len(line.queue) >= share.max_queued and not forced:
            raise RateLimited("Too many questions wait for an answer; try again shortly.", retry_after=5)
        self._lines[tenant_id] = self._waiting[tenant_id] = line
        self._idle.discard(tenant_id)
        line.share = share
        ticket = Ticket(tenant_id)
        line.queue.append(ticket)
        ticket.move(len(line.queue))
        self._start_next()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """The turn has ended, or gives its place in the queue up."""
        tenant_id = ticket.tenant_id
        line = self._lines[tenant_id]
        if ticket.running:
            line.running -= 1
            self._running -= 1
        else:
            line.queue.remove(ticket)
            if not line.queue:
                del self._waiting[tenant_id]
            _renumber(line)
        self._start_next()
        if not line.running and not line.queue:
            self._idle.add(tenant_id)
        if not self._waiting:
            for idle in self._idle:
                del self._lines[idle]
            self._idle.clear()

    def _start_next(self) -> None:
        while self._running < self._capacity:
            ready = [item for item in self._waiting.items() if item[1].running < item[1].share.max_running]
            if not ready:
                return
            tenant_id, line = min(ready, key=lambda item: item[1].clock)
            self._clock = max(self._clock, line.clock)
            line.clock = self._clock + 1 / line.share.weight
            line.running += 1
            self._running += 1
            line.queue.popleft().move(0)
            if not line.queue:
                del self._waiting[tenant_id]
            _renumber(line)


def _renumber(line: _Line) -> None:
    for place, waiting in enumerate(line.queue, 1):
        if waiting.position != place:
            waiting.move(place)
