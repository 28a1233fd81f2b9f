"""How a chatbot's documents are cut into chunks, and the fingerprint that tells whether they still are."""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT = 1
"""Raised when the same settings cut differently, so that documents of before count as stale."""


class ChunkingStrategy(StrEnum):
    STRUCTURE = "structure"
    """Whole sentences; paragraphs stay together where they fit."""
    FIXED = "fixed"
    """Windows of words, each as full as it can be."""


class ChunkingConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: ChunkingStrategy = ChunkingStrategy.STRUCTURE
    max_tokens: int = Field(
        200, ge=32, le=8_192, description="Of a chunk, by the embedding model; at most the model's window."
    )
    overlap_tokens: int = Field(
        30, ge=0, le=4_096, description="What a chunk repeats of the one before; at most half of a chunk."
    )
    respect_sections: bool = Field(
        True, description="A chunk goes on into another section only while it is very small."
    )
    respect_pages: bool = Field(
        True, description="A chunk never crosses a page. Otherwise its page is the one where it begins."
    )

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if self.overlap_tokens * 2 > self.max_tokens:
            raise ValueError("overlap_tokens must be at most half of max_tokens")
        return self

    def within(self, window: int | None) -> Self:
        """The same with chunks that fit a model's window, which another model may have made smaller."""
        if window is None or self.max_tokens <= window:
            return self
        return self.model_copy(update={"max_tokens": window, "overlap_tokens": min(self.overlap_tokens, window // 2)})

    def fingerprint(self, model: str) -> str:
        """What decides about the chunks and their vectors, as one text."""
        respected = "+".join(
            name for name, kept in (("sections", self.respect_sections), ("pages", self.respect_pages)) if kept
        )
        return f"{FORMAT}|{self.strategy}|{self.max_tokens}|{self.overlap_tokens}|{respected}|{model}"
