"""An ingestion supervisor whose processes kill themselves at a chosen stage of the pipeline, once for each arming."""

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import ray

from actors.document_ends import DocumentEnds
from actors.ingestion_supervisor import IngestionSupervisor
from pipelines import embed_stage, ingest, parse_stage
from pipelines.work import EmbeddedDocument, IngestSizing
from storage.models.embedding import Vectors
from storage.vectors.store import VectorStore

STAGES = ("parse", "embed", "write", "mark", "marked")
"""Before a document is parsed or a batch embedded, during a commit, between it and the row, right after the row."""
DIMENSION = 8
FOLDER = "LOQUENT_TEST_DEATHS"


def arm(folder: Path, stage: str, passes: int) -> None:
    """The process that comes through the stage for the `passes`-th time dies there."""
    (folder / f"{stage}.{passes}").touch()


def pass_through(stage: str) -> bool:
    """Whether the caller is to die; whoever is not counts."""
    for mark in Path(os.environ[FOLDER]).glob(f"{stage}.*"):
        left = int(mark.suffix[1:]) - 1
        try:
            mark.rename(mark.with_suffix(f".{left}") if left else mark.with_name(f"died-{stage}"))
        except FileNotFoundError:
            continue  # Another process was faster.
        return not left
    return False


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def parse_or_die(row: parse_stage.Row, sizing: IngestSizing) -> list[parse_stage.Row]:
    if pass_through("parse"):
        die()
    return parse_stage.parse_and_chunk(row, sizing)


class MortalEmbedWorker:
    """A twin of the embed worker: the same text has the same unit vector."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def embed(self, texts: list[str]) -> Vectors:
        if pass_through("embed"):
            die()
        seeds = [np.frombuffer(text.encode().ljust(DIMENSION, b"x")[:DIMENSION], dtype=np.uint8) for text in texts]
        vectors = np.stack(seeds).astype(np.float32) + 1
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


class MortalVectors(VectorStore):
    async def add_documents(self, *arguments: Any, **named: Any) -> None:
        if pass_through("write"):
            # The commit takes some milliseconds: sometimes it is done by then, mostly not.
            writing = asyncio.create_task(super().add_documents(*arguments, **named))
            await asyncio.wait((writing,), timeout=random.uniform(0, 0.03))
            die()
        await super().add_documents(*arguments, **named)


class MortalEnds(DocumentEnds):
    async def finish(self, result: EmbeddedDocument) -> None:
        if pass_through("mark"):
            die()
        await super().finish(result)
        if pass_through("marked"):
            die()


class MortalSupervisor(IngestionSupervisor):
    """To be made a Ray actor that restarts; `start` it again and again, as the keeper does."""

    async def start(self) -> None:
        # In this process alone; what runs in others travels by its name.
        ingest.parse_and_chunk = parse_or_die  # type: ignore[attr-defined]
        ingest._PARSE = ray.remote(parse_or_die)
        embed_stage.EmbedWorker = MortalEmbedWorker  # type: ignore[misc, assignment]
        module: Any = __import__("actors.ingestion_supervisor", fromlist=["x"])
        module.VectorStore, module.DocumentEnds = MortalVectors, MortalEnds
        await super().start()
