"""What a tenant can set about the answers of a bot that are kept."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CacheConfig(BaseModel):
    """Every field has a default, so that a configuration stored before the field existed still loads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["off", "exact", "semantic"] = Field(
        "exact",
        description="Answer again what was asked before in the same words, or also what asks the same in others.",
    )
    threshold: float = Field(
        0.8, ge=0.7, le=1.0, description="Cosine similarity from which on two questions may ask the same."
    )
    ttl_seconds: int = Field(86_400, ge=60, le=2_592_000, description="How long an answer is kept.")
    max_answers: int = Field(512, ge=1, le=2_048, description="The newest ones that are kept.")
