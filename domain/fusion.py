"""Reciprocal rank fusion of several result lists."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def fuse_ranks(
    rankings: Sequence[Sequence[Key]], k: int = 60, weights: Sequence[float] | None = None
) -> dict[Key, float]:
    """Score each key by the sum of weight / (k + rank), best first. Source: Cormack et al., SIGIR 2009.

    `weights` has one number per ranking; all count the same without it. What scores nothing is left out.
    """
    scores: dict[Key, float] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + weight / (k + rank)
    return {key: score for key, score in sorted(scores.items(), key=lambda item: -item[1]) if score > 0}
