"""Ingestion jobs: many documents that were asked for at once, how far they are, and what could not be read."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from domain.ids import ChatbotId, DocumentId, JobId, TenantId

UPLOAD: Final = "upload"
"""The kind of a job whose files come over the API; every other kind is a source that the platform reads by itself."""


class JobState(StrEnum):
    QUEUED = "queued"
    """Nobody has begun to read its source."""
    DISCOVERING = "discovering"
    """Its source is being read; what was found is ingested meanwhile."""
    RUNNING = "running"
    COMPLETED = "completed"
    """Every document has ended, some of them perhaps as failures of their own."""
    FAILED = "failed"
    """The source could not be read to its end; what was found has ended."""
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    QUEUED = "queued"
    READY = "ready"
    FAILED = "failed"
    UNCHANGED = "unchanged"
    """The chatbot had this content already."""


@dataclass(frozen=True, slots=True)
class Job:
    tenant_id: TenantId
    chatbot_id: ChatbotId
    id: JobId
    name: str
    kind: str
    source: dict[str, Any]
    replaces: bool
    """Whether a document takes the place of earlier ones of the same source, once it is ready."""
    state: JobState
    reason: str | None
    """Why its source could not be read to its end: a sentence for the user."""
    requested_by: str
    """`user:<id>` or `api_key:<id>`."""
    attempts: int
    """How often its source was begun."""
    found: int
    """Documents, each counted below as well; one that is deleted leaves the counts of a job that goes on."""
    waiting: int
    unchanged: int
    ready: int
    failed: int
    chunks: int
    documents_per_second: float
    chunks_per_second: float
    created_at: datetime
    started_at: datetime | None
    sealed_at: datetime | None
    """Since when nothing more comes."""
    ended_at: datetime | None
    """Set when nothing of it is in work any more, which after a cancellation is a little later."""
    updated_at: datetime

    @property
    def accepts(self) -> bool:
        """Whether more documents may join it."""
        return self.sealed_at is None and self.state in (JobState.DISCOVERING, JobState.RUNNING)

    @property
    def seconds_left(self) -> float | None:
        """Until what was found has ended; None while that cannot be known."""
        if self.ended_at is not None:
            return 0.0
        if self.sealed_at is None or not self.documents_per_second:
            return None
        return self.waiting / self.documents_per_second


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A document of a job, or what should have been one, that is not searchable."""

    key: str
    document_id: DocumentId | None
    name: str
    reason: str
    at: datetime


@dataclass(slots=True)
class Pace:
    """How quickly a job's documents end, over the last `window` seconds of what was noted."""

    window: float = 20.0
    _noted: deque[tuple[float, int, int]] = field(default_factory=deque)

    def note(self, now: float, documents: int, chunks: int) -> tuple[float, float]:
        """With the totals at the moment `now`, in seconds: documents and chunks per second since the window began."""
        self._noted.append((now, documents, chunks))
        # The last one before the window stays, so that a slow job has a pace as well.
        while len(self._noted) > 2 and self._noted[1][0] <= now - self.window:
            self._noted.popleft()
        began, documents_then, chunks_then = self._noted[0]
        seconds = now - began
        if seconds <= 0:
            return 0.0, 0.0
        # Documents that were deleted meanwhile make a total smaller.
        return max(0.0, (documents - documents_then) / seconds), max(0.0, (chunks - chunks_then) / seconds)
