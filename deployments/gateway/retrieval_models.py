"""The JSON shapes of the retrieval playground."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from deployments.gateway.models import Body
from domain.conversation import MAX_MESSAGE_CHARS
from domain.generation import PromptMessage
from domain.retrieval.result import Fate, Found, Reranking, Retrieval
from domain.text import clean_text

Text = Annotated[str, AfterValidator(clean_text), Field(min_length=1, max_length=MAX_MESSAGE_CHARS)]


class EarlierMessage(Body):
    role: Literal["user", "assistant"]
    content: Text


class RetrieveBody(Body):
    question: Text
    history: list[EarlierMessage] = Field([], max_length=20, description="The conversation before it, oldest first.")
    retrieval: dict[str, Any] = Field({}, description="Fields of the bot's `retrieval` to try otherwise.")

    @property
    def messages(self) -> tuple[PromptMessage, ...]:
        return tuple(PromptMessage(message.role, message.content) for message in self.history)


class ChunkModel(BaseModel):
    document_id: UUID
    ordinal: int


class ScoresModel(BaseModel):
    """Null where a stage did not see the passage."""

    similarity: float | None = Field(description="Cosine, -1 to 1.")
    vector_rank: int | None
    bm25: float | None
    text_rank: int | None
    fused: float = Field(description="Reciprocal rank fusion.")
    rerank: float | None = Field(description="The cross-encoder's.")


class FoundModel(BaseModel):
    document_id: UUID
    document_name: str
    ordinal: int
    start: int = Field(description="In the parsed text, in characters.")
    end: int
    page: int | None
    section: str | None
    text: str
    ordinals: list[int] = Field(description="The chunks that the text is made of.")
    fate: Fate
    because_of: ChunkModel | None = Field(description="The better passage that this duplicates or became part of.")
    scores: ScoresModel

    @classmethod
    def of(cls, found: Found) -> Self:
        passage, scores, better = found.passage, found.scores, found.because_of
        return cls(
            document_id=passage.document_id,
            document_name=passage.document_name,
            ordinal=passage.ordinal,
            start=passage.start,
            end=passage.end,
            page=passage.page,
            section=passage.section,
            text=passage.text,
            ordinals=list(found.ordinals),
            fate=found.fate,
            because_of=ChunkModel(document_id=better[0], ordinal=better[1]) if better else None,
            scores=ScoresModel.model_validate(scores, from_attributes=True),
        )


class RetrievalModel(BaseModel):
    query: str = Field(description="What was searched for.")
    rewritten: bool = Field(description="Whether the conversation made the query more than the question.")
    reranking: Reranking
    relevance: float | None = Field(description="How sure it is that the documents answer, 0 to 1.")
    documents: int | None = Field(description="How many documents the filters let through; null without filters.")
    passages: list[FoundModel] = Field(description="For the prompt, best first; empty when nothing answers.")
    dropped: list[FoundModel] = Field(description="The other candidates, and why.")
    timings: Mapping[str, float] = Field(description="Milliseconds of each stage that ran.")

    @classmethod
    def of(cls, retrieval: Retrieval) -> Self:
        return cls(
            query=retrieval.query,
            rewritten=retrieval.rewritten,
            reranking=retrieval.reranking,
            relevance=retrieval.relevance,
            documents=retrieval.documents,
            passages=[FoundModel.of(found) for found in retrieval.kept],
            dropped=[FoundModel.of(found) for found in retrieval.dropped],
            timings=retrieval.timings,
        )
