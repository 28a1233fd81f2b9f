"""Encryption at rest: the port to whatever holds the master key, and the names of the places of sealed values."""

from dataclasses import dataclass, field
from typing import Protocol

from domain.ids import (
    ChatbotId,
    DocumentId,
    EvaluationId,
    JobId,
    MessageId,
    QuestionId,
    SessionId,
    TenantId,
    TurnId,
    VisitorId,
)

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as it is stored: it says nothing without the master key of that id."""

    master_key_id: str
    wrapped: bytes


class KeyEncryption(Protocol):
    """What a key-management service does; the master key never leaves it."""

    @property
    def newest(self) -> str:
        """The id of the master key that `wrap` uses."""

    async def wrap(self, tenant_id: TenantId, version: int, key: bytes) -> WrappedKey:
        """Wrap a data key of 32 bytes for this tenant and version only. Raises Unavailable."""

    async def unwrap(self, tenant_id: TenantId, version: int, wrapped: WrappedKey) -> bytes:
        """The data key. Raises Unavailable without that master key, Unreadable for what it did not wrap like this."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One version of a tenant's data key, as the database has it."""

    version: int
    wrapped: WrappedKey | None = field(repr=False)
    """None once it is shredded."""
    active_in: float
    """Seconds until it seals new values; by then every process has read it. 0 when it does."""


# A place is part of what a value is sealed with, so that it opens nowhere else. The tenant comes before it.


def message_place(session_id: SessionId, message_id: MessageId) -> str:
    return f"message|{session_id}|{message_id}"


def citation_place(session_id: SessionId, message_id: MessageId, position: int) -> str:
    return f"citation|{session_id}|{message_id}|{position}"


def title_place(session_id: SessionId) -> str:
    return f"title|{session_id}"


def summary_place(session_id: SessionId, turn_id: TurnId) -> str:
    """Of what was said up to a turn."""
    return f"summary|{session_id}|{turn_id}"


def attributes_place(visitor_id: VisitorId) -> str:
    return f"attributes|{visitor_id}"


def comment_place(message_id: MessageId) -> str:
    return f"comment|{message_id}"


def events_place(turn_id: TurnId, epoch: int, entry: str) -> str:
    """`entry` is the id of the stream's entry."""
    return f"events|{turn_id}|{epoch}|{entry}"


def answer_place(record: str) -> str:
    """Of an answer kept for a repeated request; `record` is its key."""
    return f"answer|{record}"


def trace_place(turn_id: TurnId) -> str:
    return f"trace|{turn_id}"


def kept_answer_place(chatbot_id: ChatbotId, digest: bytes) -> str:
    """Of an answer kept for the same question; `digest` stands for the question and its scope."""
    return f"kept|{chatbot_id}|{digest.hex()}"


def source_place(job_id: JobId) -> str:
    """Of an ingestion job's source that has secrets."""
    return f"source|{job_id}"


def file_place(document_id: DocumentId, name: str) -> str:
    return f"file|{document_id}|{name}"


def question_place(question_id: QuestionId) -> str:
    """Of a question in a question set, with its history and expected answers."""
    return f"question|{question_id}"


def expected_place(question_id: QuestionId, position: int) -> str:
    return f"expected|{question_id}|{position}"


def result_place(evaluation_id: EvaluationId, question_id: QuestionId) -> str:
    return f"result|{evaluation_id}|{question_id}"
