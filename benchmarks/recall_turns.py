"""What brings the right earlier exchange of a conversation back: the words it shares with the question, or vectors."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.figures import milliseconds, percentile
from configs.settings import Settings
from domain.generation import PromptMessage
from domain.prompting.quotations import exchange_text
from domain.prompting.recall import Exchange, recalled
from storage.models.embedding.sentence_transformer import EmbeddingModel
from storage.models.store import embedding_weights

DATA = Path(__file__).with_suffix(".yaml")
MOST = 3
"""Exchanges that a turn quotes, by default."""


def measure() -> dict[str, Any]:
    """The part of 32 questions whose exchange is among the three quoted, and the time that one question takes."""
    model = EmbeddingModel(embedding_weights(Settings()), threads=1)
    found: dict[str, list[bool]] = {f"{how}_{kind}": [] for how in ("words", "vectors") for kind in ("same", "other")}
    times: dict[str, list[float]] = {"words": [], "vectors": []}
    for conversation in yaml.safe_load(DATA.read_text("utf-8")):
        said: list[Exchange] = [
            (PromptMessage("user", asked), PromptMessage("assistant", answered))
            for asked, answered in conversation["said"]
        ]
        for kind, questions in (("same", conversation["words"]), ("other", conversation["others"])):
            for question, place in questions:
                by_words, times["words"] = _timed(partial(recalled, question, said, MOST), times["words"])
                by_vectors, times["vectors"] = _timed(partial(_nearest, model, question, said), times["vectors"])
                found[f"words_{kind}"].append(place in by_words)
                found[f"vectors_{kind}"].append(place in by_vectors)
    return {
        "questions": sum(map(len, found.values())) // 2,
        "found_percent": {name: round(100 * sum(hits) / len(hits), 1) for name, hits in found.items()},
        "milliseconds_p50": {name: milliseconds(percentile(one, 50)) for name, one in times.items()},
    }


def _nearest(model: EmbeddingModel, question: str, said: list[Exchange]) -> list[int]:
    """With the exchanges' vectors made now, as a turn would have to that keeps none."""
    vectors = model.encode([question, *map(exchange_text, said)])
    return [int(place) for place in np.argsort(-(vectors[1:] @ vectors[0]))[:MOST]]


def _timed(work: Callable[[], list[int]], times: list[float]) -> tuple[list[int], list[float]]:
    began = time.perf_counter()
    found = work()
    return found, [*times, time.perf_counter() - began]
