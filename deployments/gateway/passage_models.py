"""The JSON shapes of passages, of a document's text, and of a preview of its chunks."""

from dataclasses import asdict
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, model_validator

from deployments.gateway.models import Body
from domain.chunk_preview import ChunkPreview, PreviewChunk
from domain.chunking_config import ChunkingConfig
from domain.documents import Document, ParsedDocument
from domain.surroundings import Surroundings, blocks_within
from domain.text import clean_text

MAX_TEXT = 100_000
MAX_CHUNKS = 500


class PassageModel(BaseModel):
    document_id: UUID
    document_name: str
    start: int
    end: int
    total: int = Field(description="Characters of the document's text.")
    before: str
    text: str = Field(description="From `start` to `end`, exactly.")
    after: str
    page: int | None
    section: str | None = Field(description="The headings that it stands below, outermost first.")

    @classmethod
    def of(cls, document: Document, parsed: ParsedDocument, found: Surroundings) -> Self:
        return cls(document_id=document.id, document_name=document.name, total=len(parsed.text), **asdict(found))


class BlockModel(BaseModel):
    start: int
    end: int
    page: int | None
    section: str | None


class TextModel(BaseModel):
    document_id: UUID
    document_name: str
    start: int
    end: int
    total: int = Field(description="Characters of the document's text.")
    pages: int | None
    language: str | None
    text: str = Field(description="From `start` to `end`.")
    blocks: list[BlockModel] = Field(description="Paragraphs, rows and headings within it, with their place.")

    @classmethod
    def of(cls, document: Document, parsed: ParsedDocument, start: int, end: int) -> Self:
        return cls(
            document_id=document.id,
            document_name=document.name,
            start=start,
            end=end,
            total=len(parsed.text),
            pages=parsed.pages,
            language=parsed.language,
            text=parsed.text[start:end],
            blocks=[BlockModel(**asdict(block)) for block in blocks_within(parsed, start, end)],
        )


class PreviewBody(Body):
    """Exactly one of a document and a text."""

    document_id: UUID | None = None
    text: Annotated[str, AfterValidator(clean_text)] | None = Field(None, min_length=1, max_length=MAX_TEXT)
    chunking: ChunkingConfig | None = Field(None, description="The bot's own when it is left out.")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.document_id is None) == (self.text is None):
            raise ValueError("send either `document_id` or `text`")
        return self


class ChunkModel(BaseModel):
    ordinal: int
    start: int
    end: int
    tokens: int
    overlap: int = Field(description="Characters at its beginning that the chunk before ends with.")
    page: int | None
    section: str | None
    text: str

    @classmethod
    def of(cls, one: PreviewChunk) -> Self:
        return cls(**asdict(one.chunk), tokens=one.tokens, overlap=one.overlap)


class BucketModel(BaseModel):
    low: int
    high: int
    chunks: int


class TokensModel(BaseModel):
    total: int
    min: int
    median: float
    mean: float
    max: int


class ChunkPreviewModel(BaseModel):
    chunking: ChunkingConfig
    window: int | None = Field(description="Tokens that the embedding model reads of a chunk, where it says so.")
    characters: int = Field(description="Of the whole text.")
    previewed: int = Field(description="Characters that the preview is of: the beginning of a long text.")
    pages: int | None
    language: str | None
    total: int = Field(description="Chunks of what is previewed.")
    tokens: TokensModel
    overlap: int = Field(description="Characters that are in two chunks.")
    histogram: list[BucketModel] = Field(description="Chunks by their tokens, `low` to `high`.")
    chunks: list[ChunkModel] = Field(description=f"The first {MAX_CHUNKS}.")

    @classmethod
    def of(
        cls, found: ChunkPreview, chunking: ChunkingConfig, window: int | None, whole: ParsedDocument, previewed: int
    ) -> Self:
        least, middle, mean, most = found.spread
        return cls(
            chunking=chunking,
            window=window,
            characters=len(whole.text),
            previewed=previewed,
            pages=whole.pages,
            language=whole.language,
            total=len(found.chunks),
            tokens=TokensModel(total=found.tokens, min=least, median=middle, mean=round(mean, 1), max=most),
            overlap=found.overlap,
            histogram=[BucketModel(**asdict(bucket)) for bucket in found.histogram],
            chunks=[ChunkModel.of(one) for one in found.chunks[:MAX_CHUNKS]],
        )
