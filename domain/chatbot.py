"""A chatbot and its versioned configuration."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from domain.budget import BudgetConfig
from domain.caching.configuration import CacheConfig
from domain.chunking_config import ChunkingConfig
from domain.guarding.configuration import GuardrailsConfig
from domain.ids import ChatbotId, TenantId
from domain.knowledge import FIRST, Knowledge
from domain.prompting.configuration import ContextConfig, PromptConfig
from domain.retrieval.configuration import RetrievalConfig
from domain.text import clean_text
from domain.trace import TraceDetail

Text = Annotated[str, AfterValidator(clean_text)]


class PrivacyConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    policy_url: str = Field("", max_length=2_000, pattern=r"^(https?://[^\s\x00]+)?$")
    policy_version: str = Field(
        "1", pattern=r"^[A-Za-z0-9._-]{1,50}$", description="Another version asks every visitor again."
    )
    consent_required: bool = Field(False, description="Visitors ask nothing before they agreed to this version.")


class ChatbotConfig(BaseModel):
    """All that a tenant can set on a bot; every change makes a new version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system_prompt: Text = Field(
        "You are a helpful assistant. Answer the question from the passages in one or two sentences.", max_length=8_000
    )
    persona: Text = Field("", max_length=2_000)
    tone: Text = Field("friendly", max_length=200)
    model: str = Field(
        "default",
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,99}$",
        description="A model or a route of configs/models.yaml.",
    )
    temperature: float = Field(0.0, ge=0.0, le=2.0)
    max_tokens: int = Field(256, ge=1, le=4_096)
    greeting: Text = Field("Hello! What would you like to know?", max_length=1_000)
    no_answer: Text = Field("I could not find an answer to that in the documents.", max_length=1_000)
    prompt: PromptConfig = Field(default_factory=PromptConfig, description="docs/prompts.md")
    context: ContextConfig = Field(default_factory=ContextConfig, description="docs/prompts.md")
    retrieval: RetrievalConfig = Field(default_factory=RetrievalConfig)
    chunking: ChunkingConfig = Field(
        default_factory=ChunkingConfig, description="Of documents from now on; those of before say that they are stale."
    )
    visitors: Literal["off", "identified", "anonymous"] = Field(
        "anonymous", description="Who may chat without an account: nobody, people whom the tenant names, or anyone."
    )
    visitor_sources: Literal["snippet", "passage"] = Field(
        "snippet", description="What a visitor sees of a source: what is cited, or also what stands around it."
    )
    guardrails: GuardrailsConfig = Field(default_factory=GuardrailsConfig, description="docs/guardrails.md")
    cache: CacheConfig = Field(default_factory=CacheConfig, description="docs/caching.md")
    privacy: PrivacyConfig = Field(default_factory=PrivacyConfig)
    budget: BudgetConfig = Field(default_factory=BudgetConfig, description="docs/metering.md")
    traces: TraceDetail = Field(
        TraceDetail.FULL, description="How each answer came about: with the prompt, without words, or not kept."
    )
    trace_days: int = Field(30, ge=1, le=365, description="How long traces are kept.")
    retention_days: int | None = Field(
        None, ge=1, le=3_650, description="Conversations go this long after their last message; null keeps them."
    )


@dataclass(frozen=True, slots=True)
class Chatbot:
    tenant_id: TenantId
    id: ChatbotId
    name: str
    version: int
    config: ChatbotConfig
    created_at: datetime
    updated_at: datetime
    knowledge: Knowledge = FIRST
    """The generation of its documents that answers."""


@dataclass(frozen=True, slots=True)
class ConfigVersion:
    version: int
    config: ChatbotConfig
    created_at: datetime
