"""Documents of a chatbot, what parsing makes of them, and the chunks that are searched."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.document_filter import Metadata
from domain.ids import ChatbotId, DocumentId, TenantId


class DocumentStatus(StrEnum):
    QUEUED = "queued"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Document:
    tenant_id: TenantId
    chatbot_id: ChatbotId
    id: DocumentId
    name: str
    media_type: str
    size: int
    content_hash: str
    """SHA-256 of the bytes, hexadecimal."""
    status: DocumentStatus
    reason: str | None
    pages: int | None
    chunks: int | None
    sealed_version: int | None
    """Of the tenant's key that its files are sealed with; None for files in clear, from before encryption."""
    metadata: Metadata
    language: str | None
    """ISO 639-1, of the parsed text; None where it was not recognised."""
    source: str | None
    """The address or path that it came from."""
    chunked_with: str | None
    """The fingerprint of the chunking and the model of its present chunks; None from before that was kept."""
    notice: str | None
    """A sentence for the user on what could not be read of it, although the rest is searchable."""
    recognised_pages: int | None
    """How many of its pages are pictures whose text was recognised."""
    recognition_confidence: float | None
    """Of these pages, from 0 to 1."""
    created_at: datetime
    updated_at: datetime

    def is_stale(self, present: str) -> bool:
        """Whether its chunks were made in another way than `present`, a fingerprint; unknown is not stale."""
        return self.status is DocumentStatus.READY and self.chunked_with not in (None, present)


@dataclass(frozen=True, slots=True)
class Block:
    """A run of parsed text with one place: `start`/`end` are offsets in `ParsedDocument.text`, in characters."""

    start: int
    end: int
    page: int | None = None
    section: str | None = None


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was read off pictures: how many pages, and how sure it is, from 0 to 1."""

    pages: int
    confidence: float


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    text: str
    blocks: tuple[Block, ...]
    """In order, not overlapping; what lies between two blocks is white space."""
    pages: int | None = None
    language: str | None = None
    """What the document says of itself, by ISO 639-1 and in lower case."""
    notice: str | None = None
    """A sentence for the user on what could not be read of it, as pages that are pictures."""
    recognition: Recognition | None = None
    """Set where text was read off pictures."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage to embed: `text == parsed.text[start:end]`; `page` is the one where it begins."""

    ordinal: int
    start: int
    end: int
    text: str
    page: int | None = None
    section: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved chunk with the scores of each stage."""

    document_id: DocumentId
    document_name: str
    ordinal: int
    start: int
    end: int
    text: str
    page: int | None
    section: str | None
    similarity: float
    """Cosine similarity to the question, -1 to 1."""
    score: float
    """Fused rank score, higher is better; see `domain.fusion`."""


class IngestionFailure(Exception):
    """A document that cannot be ingested; the message is a sentence for the user."""


class PicturesOnly(IngestionFailure):
    """All of its text stands in pictures, where it was not recognised."""
