"""The cross-encoder behind sentence-transformers: how well a text answers a question."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


class RerankingModel:
    """One copy of the model in this process. Not for use by several threads at once."""

    def __init__(self, weights: str, *, threads: int) -> None:
        """`weights` is a folder or a Hugging Face id of a cross-encoder with one score; `threads` bounds torch's own.

        Raises ValueError for a model with several scores.
        """
        import torch
        from transformers.utils import logging as loading

        quiet: Any = loading.disable_progress_bar
        quiet()
        from sentence_transformers import CrossEncoder

        torch.set_num_threads(threads)
        self._model: Any = CrossEncoder(weights, local_files_only=Path(weights).exists())
        if self._model.num_labels != 1:
            raise ValueError(f"{weights} gives {self._model.num_labels} scores for a pair, and not one")

    def scores(self, question: str, texts: Sequence[str], batch_size: int = 32) -> list[float]:
        """One per text, higher is better; a pair beyond the model's window is cut off."""
        if not texts:
            return []
        pairs = [(question, text) for text in texts]
        raw = self._model.predict(pairs, batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True)
        return [float(score) for score in raw]


def reranking_weights(model: str) -> str:
    """The absolute path of a folder, else the Hugging Face id itself."""
    path = Path(model).expanduser()
    return str(path.resolve()) if path.exists() else model
