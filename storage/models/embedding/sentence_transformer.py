"""The embedding model in torch, behind sentence-transformers: on a GPU where there is one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storage.models.embedding.port import Vectors, unit
from storage.models.encoder_choice import Precision


class EmbeddingModel:
    """One copy of the model in this process. Not for use by several threads at once."""

    def __init__(self, weights: str, *, threads: int, precision: Precision | None = None) -> None:
        """`threads` bounds torch's own threads, so that embedding cannot take the cores of everything else.

        `precision` is float32 or bfloat16; unset, what suits the processor.
        """
        import torch
        from transformers.utils import logging as loading

        quiet: Any = loading.disable_progress_bar
        quiet()
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        self.model: Any = SentenceTransformer(weights, local_files_only=Path(weights).exists())
        if precision is None and (self.model.device.type == "cuda" or cpu_has_bfloat16()):
            precision = "bfloat16"
        if precision == "bfloat16":
            self.model = self.model.bfloat16()
        self.dimension = int(self.model.get_embedding_dimension())

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        """One unit vector per text, float32 of shape (n, dimension); text beyond the model's window is cut off."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        raw = self.model.encode(clean, batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True)
        return unit(np.asarray(raw, dtype=np.float32))


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself: then twice as fast as float32, otherwise slower."""
    import torch

    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))
