"""The embedding model in OpenVINO: the graph that set-up made of it, and its tokenizer."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.models.embedding.port import Vectors, unit
from storage.models.encoder_choice import Choice, Precision

GRAPH, GRAPH_INT8, TOKENIZER = "model.xml", "model-int8.xml", "tokenizer.json"
BATCH_TEXTS = 16
BATCH_TOKENS = 4_096
"""Of one step, padding included: more does not run faster, and takes more memory."""
PAD_TO = 16
"""Lengths are rounded up: every new shape costs a plan of its own."""


class OpenVinoEncoder:
    """One copy of the model in this process. Not for use by several threads at once."""

    def __init__(self, folder: Path, choice: Choice, precision: Precision, *, threads: int, bulk: bool) -> None:
        """`folder` holds what `conversion.convert` wrote. `bulk` computes `threads` batches side by side, which takes
        less time in all than sharing each batch among the threads, and more for a single text.
        """
        import openvino
        from tokenizers import Tokenizer

        self.dimension = choice.dimension
        self._prompt = choice.prompt
        self._tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(choice.max_tokens)
        core = openvino.Core()
        graph = core.read_model(folder / (GRAPH_INT8 if precision == "int8" else GRAPH))
        streams = threads if bulk else 1
        self._compiled = core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": streams,
                "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
                # Several processes share the machine: threads bound to the same cores would wait for each other.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._queue = openvino.AsyncInferQueue(self._compiled, streams)

    def encode(self, texts: list[str]) -> Vectors:
        """One unit vector per text, float32 of shape (n, dimension); text beyond the model's window is cut off."""
        found: Vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return found
        clean = [(self._prompt + text).encode("utf-8", "replace").decode() for text in texts]
        tokens = [self._tokenizer.encode(text).ids for text in clean]

        def keep(request: Any, places: NDArray[np.int64]) -> None:
            found[places] = request.get_output_tensor(0).data

        self._queue.set_callback(keep)
        for places, identifiers, mask in batches(tokens):
            self._queue.start_async({0: identifiers, 1: mask}, places)
        self._queue.wait_all()
        return unit(found)


def batches(tokens: list[list[int]]) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """(places, token ids, mask) of each step: texts of like length together, the longest first, padded with zeros."""
    order = sorted(range(len(tokens)), key=lambda place: -len(tokens[place]))
    made = []
    while order:
        length = -(-max(1, len(tokens[order[0]])) // PAD_TO) * PAD_TO
        size = max(1, min(BATCH_TEXTS, BATCH_TOKENS // length))
        taken, order = order[:size], order[size:]
        identifiers = np.zeros((len(taken), length), dtype=np.int64)
        mask = np.zeros((len(taken), length), dtype=np.int64)
        for row, place in enumerate(taken):
            identifiers[row, : len(tokens[place])] = tokens[place]
            mask[row, : len(tokens[place])] = 1
        made.append((np.array(taken), identifiers, mask))
    return made
