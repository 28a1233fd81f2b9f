"""The progress of an ingestion job as server-sent events."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import structlog

from deployments.gateway.job_models import JobModel
from domain.errors import AppError
from domain.jobs import Job

log = structlog.get_logger()

MEDIA_TYPE = "text/event-stream"
LOOK_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 15.0
LONGEST_SECONDS = 300.0
"""Then the client comes back, and is asked again who it is."""


async def progress(
    job: Job, look: Callable[[], Awaitable[Job]], last_event_id: str | None = None
) -> AsyncGenerator[str, None]:
    """`progress` with the job at once and whenever it has changed, `end` with its last state.

    An event's id is the moment of the change: whoever has it already gets nothing until the next one. `look` returns
    the job of now.
    """
    sent, deadline, spoke = last_event_id, time.monotonic() + LONGEST_SECONDS, time.monotonic()
    while True:
        if job.ended_at is not None:
            yield _event("end", job)
            return
        if (mark := _mark(job)) != sent:
            yield _event("progress", job)
            sent, spoke = mark, time.monotonic()
        elif time.monotonic() - spoke >= KEEP_ALIVE_SECONDS:
            yield ": still here\n\n"
            spoke = time.monotonic()
        if time.monotonic() >= deadline:
            return
        await asyncio.sleep(LOOK_SECONDS)
        try:
            job = await look()
        except AppError as error:
            # The job went with its chatbot, or the database is away: the client comes back and is told.
            log.info("job_stream.ended", error=error.code)
            return


def _mark(job: Job) -> str:
    return f"{job.updated_at.timestamp():.6f}-{job.state}"


def _event(kind: str, job: Job) -> str:
    return f"id: {_mark(job)}\nevent: {kind}\ndata: {JobModel.of(job).model_dump_json()}\n\n"
