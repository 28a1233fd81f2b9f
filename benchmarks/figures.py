"""Percentiles and rounding of what was measured."""

from collections.abc import Sequence
from statistics import quantiles


def percentile(values: Sequence[float], percent: int) -> float:
    """Of at least two values; `percent` from 1 to 99."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 2)
