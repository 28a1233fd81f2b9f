"""Reciprocal rank fusion of several result lists."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def fuse_ranks(rankings: Sequence[Sequence[Key]], k: int = 60) -> dict[Key, float]:
    """Score each key by the sum of 1 / (k + rank), best first. Source: Cormack et al., SIGIR 2009."""
    scores: dict[Key, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + 1.0 / (k + rank)
    return dict(sorted(scores.items(), key=lambda item: -item[1]))
