"""The ingestion pipeline: Ray Data streams documents through parse, chunk and embed; whole ones come out."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import astuple
from typing import Any

import numpy as np
import ray.data
import structlog
from ray.data import DataContext, ExecutionOptions, ExecutionResources, TaskPoolStrategy

from domain.documents import Chunk, Recognition
from domain.errors import AppError, StorageFull
from domain.ids import ChatbotId, TenantId
from pipelines.background import background_environment
from pipelines.embed_stage import Batch, EmbedPool
from pipelines.parse_stage import NO_PAGE, Row, parse_and_chunk
from pipelines.work import (
    EmbeddedDocument,
    FailedDocument,
    IngestSizing,
    InterruptedDocument,
    Result,
    WorkItem,
    chunking_of,
)
from storage.full_disk import is_full
from storage.vectors.store import NewDocument, VectorStore

log = structlog.get_logger(__name__)

NOT_WRITTEN = "The document could not be written to the store of passages."
ITEMS_PER_TASK = 8
"""A task of its own for every document would cost more than parsing a short one."""
FEW_ITEMS = 8
"""Documents of a run without Ray Data."""
_PARSE: Any = ray.remote(parse_and_chunk)  # once: Ray would keep every copy


async def ingest(
    items: list[WorkItem], sizing: IngestSizing, pool: EmbedPool, vectors: VectorStore
) -> AsyncGenerator[Result, None]:
    """Ingest documents and yield each as it ends: embedded ones are committed to the vector store by then.

    The order is that of completion. A document that cannot be parsed fails alone, one that cannot be written is
    interrupted alone; an exception means that the run itself broke, and that documents not yielded so far are not
    ingested.
    """
    async with aclosing(_embedded(items, sizing, pool)) as steps:
        async for ended in steps:
            together: dict[tuple[TenantId, ChatbotId, int], list[EmbeddedDocument]] = {}
            for one in ended:
                if isinstance(one, EmbeddedDocument):
                    place = one.item.tenant_id, one.item.chatbot_id, one.item.generation
                    together.setdefault(place, []).append(one)
                else:
                    yield one
            for documents in together.values():
                for result in await _written(documents, vectors):
                    yield result


async def _written(
    documents: list[EmbeddedDocument], vectors: VectorStore
) -> list[EmbeddedDocument | InterruptedDocument]:
    """Documents of a table with their chunks committed, or none of them; a commit costs as much for one as for many."""
    item = documents[0].item
    new = [NewDocument(one.item.document_id, one.item.name, one.chunks, one.vectors) for one in documents]
    try:
        await vectors.add_documents(item.tenant_id, item.chatbot_id, new, generation=item.generation)
    except Exception as error:
        if len(documents) > 1:
            return [result for one in documents for result in await _written([one], vectors)]
        log.exception("document_not_written", document_id=str(item.document_id), tenant_id=str(item.tenant_id))
        if isinstance(error, AppError):
            return [InterruptedDocument(item, error.message)]
        return [InterruptedDocument(item, StorageFull.default if is_full(error) else NOT_WRITTEN)]
    return list(documents)


async def _embedded(
    items: list[WorkItem], sizing: IngestSizing, pool: EmbedPool
) -> AsyncGenerator[list[EmbeddedDocument | FailedDocument], None]:
    """The blocking run in a thread of its own; the next results are computed only when they are asked for."""
    run = _run(items, sizing, pool)
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, thread_name_prefix="ingest")
    try:
        while (ended := await loop.run_in_executor(thread, next, run, None)) is not None:
            yield ended
    finally:
        # In the same thread, behind a step still running: a generator cannot be closed while it runs.
        thread.submit(run.close)
        thread.shutdown(wait=False)


def _run(
    items: list[WorkItem], sizing: IngestSizing, pool: EmbedPool
) -> Generator[list[EmbeddedDocument | FailedDocument], None, None]:
    """The documents that end with each batch."""
    partial: dict[int, list[Row]] = {}
    for batch in _few(items, sizing, pool) if len(items) <= FEW_ITEMS else _streamed(items, sizing, pool):
        ended: list[EmbeddedDocument | FailedDocument] = []
        for row in _rows(batch):
            index, total = int(row["index"]), int(row["total"])
            if total == 0:
                ended.append(FailedDocument(items[index], str(row["reason"])))
                continue
            rows = partial.setdefault(index, [])
            rows.append(row)
            if len(rows) == total:
                ended.append(_document(items[index], sizing, partial.pop(index)))
        yield ended
    if partial:
        raise RuntimeError(f"{len(partial)} documents came out incomplete")


def _few(items: list[WorkItem], sizing: IngestSizing, pool: EmbedPool) -> Iterator[Batch]:
    """The same stages without Ray Data, whose start takes longer than a small upload."""
    parse = _PARSE.options(
        num_cpus=sizing.parse_cpus,
        label_selector=sizing.label_selector,
        max_retries=2,
        runtime_env=background_environment(),
    )
    waiting = [parse.remote(row, sizing=sizing) for row in _source(items)]
    try:
        while waiting:
            ray.wait(waiting, num_returns=1)
            ready, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0)
            rows: list[Row] = [row for done in ray.get(ready) for row in done]
            yield pool.start({name: [row[name] for row in rows] for name in rows[0]}).ended()
    finally:
        for task in waiting:
            ray.cancel(task)


def _streamed(items: list[WorkItem], sizing: IngestSizing, pool: EmbedPool) -> Iterator[Batch]:
    with DataContext.current(_context(sizing)):
        dataset = _parsed(items, sizing)
    parsed: Any = dataset.iter_batches(batch_size=sizing.batch_chunks, batch_format="numpy", prefetch_batches=1)
    yield from pool.stream(parsed)


def _source(items: list[WorkItem]) -> list[Row]:
    return [{"index": index, "item": [str(value) for value in astuple(item)]} for index, item in enumerate(items)]


def _context(sizing: IngestSizing) -> DataContext:
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # They warn of what is meant to be: a stage that books next to nothing and holds a model elsewhere.
    context.issue_detectors_config.detectors = []
    context.execution_options = ExecutionOptions(
        resource_limits=ExecutionResources.for_limits(cpu=sizing.total_cpus), label_selector=sizing.label_selector
    )
    return context


def _parsed(items: list[WorkItem], sizing: IngestSizing) -> ray.data.Dataset:
    rows = _source(items)
    parallel = max(1, round(sizing.total_cpus / sizing.parse_cpus))
    blocks = min(len(rows), max(parallel, -(-len(rows) // ITEMS_PER_TASK)))
    # Ray Data's types know stages without further arguments only.
    source: Any = ray.data.from_items(rows, override_num_blocks=blocks)
    parsed: ray.data.Dataset = source.flat_map(
        parse_and_chunk,
        fn_kwargs={"sizing": sizing},
        num_cpus=sizing.parse_cpus,
        runtime_env=background_environment(),
        compute=TaskPoolStrategy(min(parallel, blocks)),
    )
    return parsed


def _rows(batch: dict[str, Any]) -> Iterator[Row]:
    names = list(batch)
    for values in zip(*(batch[name] for name in names), strict=True):
        yield dict(zip(names, values, strict=True))


def _document(item: WorkItem, sizing: IngestSizing, rows: list[Row]) -> EmbeddedDocument:
    rows.sort(key=lambda row: int(row["ordinal"]))
    chunks = [
        Chunk(
            ordinal=int(row["ordinal"]),
            start=int(row["start"]),
            end=int(row["end"]),
            text=str(row["text"]),
            page=int(row["page"]) if row["page"] != NO_PAGE else None,
            section=str(row["section"]) or None,
        )
        for row in rows
    ]
    first = rows[0]
    pages, recognised = int(first["pages"]), int(first["recognised"])
    vectors = np.stack([row["vector"] for row in rows])
    chunked_with = chunking_of(item, sizing).fingerprint(sizing.model)
    return EmbeddedDocument(
        item,
        pages if pages != NO_PAGE else None,
        chunks,
        vectors,
        str(first["language"]) or None,
        chunked_with,
        notice=str(first["notice"]) or None,
        recognition=Recognition(recognised, float(first["confidence"])) if recognised else None,
    )
