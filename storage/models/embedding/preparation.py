"""What set-up does with an embedding model: graphs of it, and every encoder tried; runs as a process of its own."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from storage.models.embedding.graph import write_graphs
from storage.models.embedding.openvino import OpenVinoEncoder
from storage.models.embedding.port import TextEncoder, Vectors
from storage.models.embedding.samples import QUESTIONS, passages
from storage.models.embedding.sentence_transformer import EmbeddingModel
from storage.models.encoder_choice import CHOICE, Choice, Trial, fingerprint_of, has_bfloat16, processor

THREADS = 2
"""As ingestion and the embedder have on one machine."""
DEPTH = 10
TIMED_TEXTS, ROUNDS = 48, 2
"""Enough for every stream of an encoder to have several steps, as a batch of ingestion has."""
CLOSE = 0.001
"""A passage that is as near to the question as the tenth, to this difference, is as good."""


def prepare(weights: str, folder: Path) -> Choice:
    """Write what the encoders need into `folder`, and last of all what was measured."""
    reference = EmbeddingModel(weights, threads=THREADS, precision="float32")
    model: Any = reference.model
    problem = _graph_problem(model, folder)
    files = {file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()}
    choice = Choice(
        fingerprint=fingerprint_of(weights),
        processor=processor(),
        trials=(),
        max_tokens=int(model.max_seq_length or 0),
        dimension=reference.dimension,
        prompt=str(model.prompts.get(model.default_prompt_name) or "") if model.default_prompt_name else "",
        files=files,
    )
    choice = choice.model_copy(update={"trials": _trials(weights, reference, folder, choice, problem)})
    (folder / CHOICE).write_text(choice.model_dump_json(indent=1), "utf-8")
    return choice


def _graph_problem(model: Any, folder: Path) -> str:
    """Write the graphs; why that is not possible, or nothing."""
    if not model.max_seq_length:
        return "the model says no longest text"
    try:
        write_graphs(model, folder)
    except Exception as error:  # noqa: BLE001 - a tracer raises anything; torch remains
        for file in folder.iterdir():
            file.unlink()
        return f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return ""


def _trials(weights: str, reference: EmbeddingModel, folder: Path, choice: Choice, problem: str) -> tuple[Trial, ...]:
    tried = [Trial(backend="torch", precision="float32"), Trial(backend="openvino", precision="float32")]
    tried.append(Trial(backend="openvino", precision="int8"))
    if has_bfloat16(choice.processor):
        tried.insert(1, Trial(backend="torch", precision="bfloat16"))
        tried.insert(2, Trial(backend="openvino", precision="bfloat16"))
    encoders: dict[Trial, TextEncoder] = {}
    failed: dict[Trial, str] = {}
    for trial in tried:
        try:
            encoders[trial] = _open(trial, weights, reference, folder, choice, problem)
        except Exception as error:  # noqa: BLE001 - this encoder is out, the others are not
            failed[trial] = f"{error}".splitlines()[0][:300] if str(error) else type(error).__name__
    texts = passages()
    exact = reference.encode(texts), reference.encode(list(QUESTIONS))
    quality = {trial: _quality(exact, encoder, texts) for trial, encoder in encoders.items()}
    speed = _speeds(encoders, texts)
    return tuple(
        trial.model_copy(update={"problem": failed[trial]})
        if trial in failed
        else trial.model_copy(
            update={"cosine": quality[trial][0], "recall": quality[trial][1], "texts_per_second": speed[trial]}
        )
        for trial in tried
    )


def _open(
    trial: Trial, weights: str, reference: EmbeddingModel, folder: Path, choice: Choice, problem: str
) -> TextEncoder:
    if trial.backend == "torch":
        if trial.precision == "float32":
            return reference
        return EmbeddingModel(weights, threads=THREADS, precision=trial.precision)
    if problem:
        raise RuntimeError(problem)
    return OpenVinoEncoder(folder, choice, trial.precision, threads=THREADS, bulk=True)


def _quality(exact: tuple[Vectors, Vectors], encoder: TextEncoder, texts: list[str]) -> tuple[float, float]:
    """The least cosine of a text's vector with the exact one, and recall where either side may be the encoder's."""
    found = encoder.encode(texts), encoder.encode(list(QUESTIONS))
    cosine = min(float((mine * true).sum(axis=1).min()) for mine, true in zip(found, exact, strict=True))
    sides = [found, (found[0], exact[1]), (exact[0], found[1])]
    return round(cosine, 5), round(min(_recall(exact, *side) for side in sides), 4)


def _recall(exact: tuple[Vectors, Vectors], passages: Vectors, questions: Vectors) -> float:
    true = exact[1] @ exact[0].T
    tenth = np.sort(true, axis=1)[:, -DEPTH]
    chosen = np.argsort(-(questions @ passages.T), axis=1)[:, :DEPTH]
    return float((np.take_along_axis(true, chosen, axis=1) >= tenth[:, None] - CLOSE).mean())


def _speeds(encoders: dict[Trial, TextEncoder], texts: list[str]) -> dict[Trial, float]:
    """Texts per second of each, in turns; the best of the rounds, for others may use the machine too."""
    # As long as chunks are.
    chunks = [" ".join(texts[place : place + 3]) for place in range(TIMED_TEXTS)]
    best = dict.fromkeys(encoders, 0.0)
    for _ in range(ROUNDS):
        for trial, encoder in encoders.items():
            begun = time.perf_counter()
            encoder.encode(chunks)
            best[trial] = max(best[trial], TIMED_TEXTS / (time.perf_counter() - begun))
    return {trial: round(speed, 1) for trial, speed in best.items()}


if __name__ == "__main__":
    prepare(sys.argv[1], Path(sys.argv[2]))
