"""The embedding model behind sentence-transformers: unit vectors, and its own tokenizer for counting."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Settings
from storage.models.store import embedding_weights

Vectors = NDArray[np.float32]


def embedding_model_path(settings: Settings) -> str:
    """The folder of the embedding model, or its Hugging Face id when it is neither shipped nor a path."""
    return embedding_weights(settings)


class EmbeddingModel:
    """One copy of the model in this process. Not for use by several threads at once."""

    def __init__(self, weights: str, *, threads: int) -> None:
        """`threads` bounds torch's own threads, so that embedding cannot take the cores of everything else."""
        import torch
        from transformers.utils import logging as loading

        quiet: Any = loading.disable_progress_bar
        quiet()
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        self._model: Any = SentenceTransformer(weights, local_files_only=Path(weights).exists())
        if self._model.device.type == "cuda" or cpu_has_bfloat16():
            self._model = self._model.bfloat16()
        self.dimension = int(self._model.get_embedding_dimension())

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        """One unit vector per text, float32 of shape (n, dimension); text beyond the model's window is cut off."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        raw = self._model.encode(list(texts), batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True)
        vectors = np.asarray(raw, dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = vectors / np.maximum(lengths, 1e-12)
        return unit


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself: then twice as fast as float32, otherwise slower."""
    import torch

    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))


@cache
def embedding_dimension(weights: str) -> int:
    """Length of the vectors, read from the model's files; an unknown layout loads the model to ask it."""
    folder = Path(weights)
    try:
        modules = json.loads((folder / "modules.json").read_text("utf-8"))
        found = [_width(folder / module["path"] / "config.json") for module in modules]
    except (OSError, ValueError, KeyError, TypeError):
        found = []
    widths = [width for width in found if width]
    return widths[-1] if widths else EmbeddingModel(weights, threads=1).dimension


def _width(config: Path) -> int | None:
    if not config.is_file():
        return None
    values = json.loads(config.read_text("utf-8"))
    for key in ("out_features", "word_embedding_dimension", "embedding_dimension", "hidden_size"):
        if isinstance(values.get(key), int):
            return int(values[key])
    return None


@cache
def embedding_token_count(weights: str) -> Callable[[str], int]:
    """Counts tokens as the embedding model does, without its start and end tokens, and without loading torch."""
    from tokenizers import Tokenizer

    file = Path(weights) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else Tokenizer.from_pretrained(weights)
    # The file asks for truncation to the model's window; a count needs the whole text.
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
