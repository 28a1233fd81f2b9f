"""The port of all encoders of text."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class TextEncoder(Protocol):
    """Not for use by several threads at once."""

    dimension: int

    def encode(self, texts: list[str]) -> Vectors:
        """Unit vectors, float32 of shape (n, dimension); text beyond the model's window is cut off.

        Raises AppError where somebody else computes them.
        """


def unit(vectors: Vectors) -> Vectors:
    """Each row divided by its length."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = vectors / np.maximum(lengths, 1e-12)
    return scaled
