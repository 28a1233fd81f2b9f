"""The routing policy: which replicas to try, and in which order."""

from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b

from domain.routing import BreakerState, Candidate

LIMIT = 4
PER_ENGINE = 2
"""Replicas of one engine that are tried while there are others: what ails one often ails them all."""
OFTEN_FAILING = 0.15
"""Replicas that fail more often than this part of their attempts come after others."""
SLOW_FACTOR, SLOW_SECONDS = 2.0, 0.25
"""A replica is slow when its first token takes that many times, and that much longer, than that of the quickest."""
STICKY_SLACK = 0.25
"""How much fuller than the emptiest the replica of a session may be, in parts of its places."""


def order_candidates(candidates: Iterable[Candidate], session_id: str = "", limit: int = LIMIT) -> list[Candidate]:
    """The replicas to try, best first, at most `limit`.

    Replicas with an open breaker, and those whose provider takes nothing at present, are left out. Then, in this order:
    replicas with room before full ones, which come last rather than never, for they may have drained since they
    reported; models in the order in which they were chosen; replicas that seldom fail before those that often do; one
    with a free place before one whose places are all taken; the order of models.yaml; quick ones before slow ones; the
    replica that the session hashes to, for its prefix cache, unless it is much fuller than others; the load; and the
    address, so that the answer is the same every time. A half-open replica is ordered like a healthy one: a failed
    probe costs one attempt, and the turn goes on to the next.
    """
    live = [one for one in candidates if one.breaker is not BreakerState.OPEN and one.limited_seconds <= 0]
    quickest = min((one.ttft for one in live if one.ttft is not None), default=None)
    emptiest: dict[tuple[str, str], float] = {}
    for one in live:
        group = one.engine, one.model
        emptiest[group] = min(one.load, emptiest.get(group, one.load))

    def rank(one: Candidate) -> tuple[bool, int, bool, bool, int, bool, int, float, str]:
        strays = one.load > emptiest[one.engine, one.model] + STICKY_SLACK
        return (
            one.full,
            one.tier,
            one.failing > OFTEN_FAILING,
            one.load >= 1.0,
            one.preference,
            is_slow(one, quickest),
            0 if not session_id or strays else -_affinity(session_id, one.address),
            one.load,
            one.address,
        )

    return _mixed(sorted(live, key=rank), limit)


def is_slow(one: Candidate, quickest: float | None) -> bool:
    if one.ttft is None or quickest is None:
        return False
    return one.ttft > max(quickest * SLOW_FACTOR, quickest + SLOW_SECONDS)


def is_home(session_id: str, chosen: Candidate, candidates: Iterable[Candidate]) -> bool:
    """Whether it is the replica of its engine that the session hashes to, and there are others."""
    others = [one.address for one in candidates if one.engine == chosen.engine and one.model == chosen.model]
    if not session_id or len(others) < 2:
        return False
    return max(others, key=lambda address: _affinity(session_id, address)) == chosen.address


def _mixed(ordered: list[Candidate], limit: int) -> list[Candidate]:
    """The best few, with those of other engines before the third of one."""
    seen: Counter[str] = Counter()
    first: list[Candidate] = []
    later: list[Candidate] = []
    for one in ordered:
        seen[one.engine] += 1
        (first if seen[one.engine] <= PER_ENGINE else later).append(one)
    return (first + later)[:limit]


def _affinity(session_id: str, address: str) -> int:
    """Rendezvous hashing, as in `domain.placement`: a replica that comes or goes moves only its own sessions."""
    return int.from_bytes(blake2b(f"{session_id} {address}".encode(), digest_size=8).digest())
