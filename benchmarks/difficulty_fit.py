"""Fits what `domain/difficulty.py` tells hard questions by: `python -m benchmarks.difficulty_fit` prints its weights.

Logistic regression over the signs, by Newton's method, with a ridge. A hard question that a small model gets costs an
answer, an easy one that a strong model gets a fraction of a cent: so the hard ones count `HARD_COUNTS` times. Only the
half `fitting` of tests/fixtures/difficulty.yaml is read; `left_out` judges each question by weights fitted without it.
"""

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import yaml
from numpy.typing import NDArray

from domain.difficulty import THRESHOLD, WEIGHTS, signs_of

Floats: TypeAlias = NDArray[np.float64]

RIDGE, HARD_COUNTS, STEPS = 0.3, 3.0, 80
NAMES = [name for name in WEIGHTS if name != "unsure"]
"""The set has no retrieval, so that the weight of its doubt is not fitted."""


def fitted(rows: Floats, hard: Floats) -> Floats:
    """`rows` of shape (n, 1 + signs) begin with 1; `hard` is 0 or 1. Returns the bias and the weights."""
    counts = np.where(hard == 1, HARD_COUNTS, 1.0)
    weights = np.zeros(rows.shape[1])
    ridge = np.diag([1e-6, *[RIDGE] * (rows.shape[1] - 1)])
    for _ in range(STEPS):
        likely = _likely(rows, weights)
        slope = rows.T @ (counts * (likely - hard)) + ridge @ weights
        weights = weights - np.linalg.solve((rows * (counts * likely * (1 - likely))[:, None]).T @ rows + ridge, slope)
    return weights


def measure() -> dict[str, Any]:
    file = Path(__file__).parents[1] / "tests/fixtures/difficulty.yaml"
    questions = yaml.safe_load(file.read_text("utf-8"))["fitting"]
    texts = [*questions["simple"], *questions["hard"]]
    hard = np.array([0.0] * len(questions["simple"]) + [1.0] * len(questions["hard"]))
    rows = np.array([[1.0, *(signs_of(text).get(name, 0.0) for name in NAMES)] for text in texts])
    alone = [fitted(np.delete(rows, at, 0), np.delete(hard, at)) for at in range(len(texts))]
    called_hard = (
        np.array([float(_likely(row, weights)) for row, weights in zip(rows, alone, strict=True)]) >= THRESHOLD
    )
    bias, *weights = (round(float(weight), 2) for weight in fitted(rows, hard))
    return {
        "questions": len(texts),
        "bias": bias,
        "weights": dict(zip(NAMES, weights, strict=True)),
        "left_out": {
            "hard_found": round(float(called_hard[hard == 1].mean()), 3),
            "simple_called_hard": round(float(called_hard[hard == 0].mean()), 3),
        },
    }


def _likely(rows: Floats, weights: Floats) -> Floats:
    likely: Floats = 1.0 / (1.0 + np.exp(-(rows @ weights)))
    return likely


if __name__ == "__main__":
    print(measure())
