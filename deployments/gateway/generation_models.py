"""The JSON shapes of generations: what may be asked for, and what is told of them."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from deployments.gateway.models import Body
from domain.chunking_config import ChunkingConfig
from domain.generations import COMPARED, Generation, QuestionOrigin
from domain.knowledge import GenerationState


class ReembedBody(Body):
    model: str | None = Field(
        None, min_length=1, max_length=200, description="One of the platform's embedding models; unset, the bot's own."
    )
    chunking: ChunkingConfig | None = Field(None, description="Unset, the bot's own; it becomes that with the switch.")


class SwitchBody(Body):
    accept_failures: bool = Field(
        False, description="Switch although documents could not be taken in; they are queued once more."
    )


class ProgressModel(BaseModel):
    documents: int = Field(description="All that are ready.")
    done: int
    failed: int
    chunks: int
    chunks_per_second: float | None
    seconds_left: int | None


class QualityModel(BaseModel):
    recall: float = Field(description=f"The share of questions whose passage is among the first {COMPARED}.")
    mrr: float = Field(description="The mean of one divided by the rank of the first right passage.")


class ComparisonModel(BaseModel):
    questions: int
    origin: QuestionOrigin | None = Field(description="Where the questions are from; null where there were none.")
    live: QualityModel
    candidate: QualityModel
    agreement: float = Field(description="The share of the live generation's passages that the candidate finds too.")


class GenerationModel(BaseModel):
    generation: int
    model: str
    chunking: ChunkingConfig
    state: GenerationState
    reason: str | None
    progress: ProgressModel
    comparison: ComparisonModel | None
    requested_by: str
    created_at: datetime
    built_at: datetime | None
    switched_at: datetime | None
    expires_at: datetime | None = Field(description="Until when a way back is kept.")

    @classmethod
    def of(cls, generation: Generation) -> Self:
        progress, comparison = generation.progress, generation.comparison
        return cls(
            generation=generation.generation,
            model=generation.model,
            chunking=generation.chunking,
            state=generation.state,
            reason=generation.reason,
            progress=ProgressModel.model_validate(progress, from_attributes=True),
            comparison=comparison and ComparisonModel.model_validate(comparison, from_attributes=True),
            requested_by=generation.requested_by,
            created_at=generation.created_at,
            built_at=generation.built_at,
            switched_at=generation.switched_at,
            expires_at=generation.expires_at,
        )


class GenerationList(BaseModel):
    live: int = Field(description="The generation that answers.")
    items: list[GenerationModel]


class EstimateModel(BaseModel):
    model: str
    chunking: ChunkingConfig
    documents: int
    chunks: int
    tokens: int
    sampled: int = Field(description="Documents that were cut to estimate by; 0 where the present chunks had to do.")
    cost_micro: int = Field(description="Millionths of the currency unit; 0 for models of the platform's own.")
    currency: str
    seconds: int | None = Field(description="At the pace of the bot's last build; null where there was none.")
