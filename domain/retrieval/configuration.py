"""What a tenant can set about how a bot finds its passages."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from domain.document_filter import DocumentFilter
from domain.text import clean_text


class Grounding(StrEnum):
    DOCUMENTS = "documents"
    """Answer from the bot's documents only; without a relevant passage say so."""
    OPEN = "open"
    """Use passages where they help, and the model's own knowledge otherwise."""


class RetrievalConfig(BaseModel):
    """Every field has a default, so that a configuration stored before the field existed still loads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["hybrid", "vector", "text"] = Field(
        "hybrid", description="Find by meaning, by words (BM25), or by both with their ranks fused."
    )
    top_k: int = Field(default=5, ge=1, le=20, description="Passages offered to the prompt.")
    candidates: int = Field(
        default=30, ge=1, le=200, description="Passages that each search offers to fusion and reranking."
    )
    rrf_k: int = Field(default=10, ge=1, le=1_000, description="The constant of reciprocal rank fusion.")
    vector_weight: float = Field(default=1.0, ge=0.0, le=10.0)
    text_weight: float = Field(default=1.5, ge=0.0, le=10.0)
    min_score: float = Field(
        default=0.2, ge=0.0, le=1.0, description="Cosine similarity below which a passage does not count."
    )
    min_relevance: float = Field(
        default=0.4,
        ge=0.0,
        le=1.0,
        description="How sure it must be that the documents answer at all, by the similarity of the best passages and"
        " the words they share with the question; 0 lets everything through.",
    )
    rerank: Literal["off", "on"] = Field(
        "off", description="Order the candidates by the platform's cross-encoder, where it has one."
    )
    near_duplicates: float | None = Field(
        default=0.9,
        gt=0.0,
        le=1.0,
        description="Passages that share so much of their wording count once; null shows all.",
    )
    neighbours: int = Field(
        default=0, ge=0, le=2, description="Chunks on each side, of the same page and section, that go along."
    )
    rewrite: Literal["off", "rules", "model"] = Field(
        "rules",
        description="Search for a question that leans on earlier ones with what it leans on, by rules or as the bot's"
        " model puts it; a model that is late leaves it to the rules.",
    )
    filters: DocumentFilter | None = Field(None, description="The only documents to answer from; null is all.")
    section: Annotated[str, AfterValidator(clean_text)] | None = Field(
        None, min_length=1, max_length=500, description="What the section of a passage begins with."
    )
    grounding: Grounding = Grounding.DOCUMENTS
