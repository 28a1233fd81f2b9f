"""The routing policy: which replicas to try, and in which order."""

from collections.abc import Iterable

from domain.routing import BreakerState, Candidate


def order_candidates(candidates: Iterable[Candidate], limit: int = 3) -> list[Candidate]:
    """The replicas to try, best first, at most `limit`.

    Replicas with an open breaker are left out. A replica with room comes before one whose places are all taken, then
    the order of models.yaml decides, then the load, then the address so that the answer is the same every time. A
    half-open replica is ordered like a healthy one: a failed probe costs one attempt, and the turn goes on to the next.
    Full replicas come last rather than never: they may have drained since they reported.
    """
    live = [candidate for candidate in candidates if candidate.breaker is not BreakerState.OPEN]
    return sorted(live, key=_rank)[:limit]


def _rank(candidate: Candidate) -> tuple[bool, bool, int, float, str]:
    return (candidate.full, candidate.load >= 1.0, candidate.preference, candidate.load, candidate.address)
