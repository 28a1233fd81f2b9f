"""What is asked of a language model and what streams back."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from domain.answer_form import AnswerForm
from domain.ids import TenantId


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class PromptMessage:
    role: str
    """`system`, `user` or `assistant`."""
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call of a model, as the engine counted them, or of several."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt's: those that the engine had from before."""
    embedded_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """What counts against a budget."""
        return self.prompt_tokens + self.completion_tokens + self.embedded_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.embedded_tokens + other.embedded_tokens,
        )


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    id: str
    """The turn id, unique per attempt; engines use it as their request id."""
    model: str
    """A key of configs/models.yaml."""
    messages: tuple[PromptMessage, ...]
    max_tokens: int
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    form: AnswerForm | None = None
    """What the answer is held to; None: text."""


@dataclass(frozen=True, slots=True)
class Delta:
    """New text since the last delta; the last one of a stream carries `finish` and `usage`."""

    text: str = ""
    tokens: int = 0
    """How many completion tokens this delta carries."""
    finish: FinishReason | None = None
    usage: Usage | None = None
    queued: int | None = None
    """Nothing was said yet: the place in the engine's queue, 1 is next, or 0 when the generation begins."""


@dataclass(frozen=True, slots=True)
class EngineTarget:
    """One engine replica that can serve a model, as the router chose it."""

    engine: str
    """Name of the engine, a key of configs/models.yaml."""
    model: str
    address: str
    """`host:port` of the replica's stream server."""
    first_token_seconds: float = 120.0
    """How long it may say nothing, from when it has a place for the generation."""
    queue_seconds: float = 30.0
    """How long the generation may wait for its place."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What the router decides by."""

    tenant_id: TenantId
    model: str
    """A model or a route of configs/models.yaml."""
    prompt_tokens: int
    max_tokens: int = 1
    """The longest that the answer may become."""
    session_id: str = ""
    """Turns of one session stay with one replica where that costs nothing, for its prefix cache; empty: anywhere."""
    plan: str = ""
    """The key of the tenant's plan."""
    difficulty: float = 0.0
    """See `domain.difficulty`, 0 to 1."""
    signals: tuple[str, ...] = ()
    """What makes the question difficult, in a word or two each."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The router's answer: engines to try in order, with the reason recorded."""

    targets: tuple[EngineTarget, ...]
    reason: str
    detail: dict[str, Any] = field(default_factory=dict)
    """What was weighed, as plain data for a trace."""
    hedge_after_seconds: float | None = None
    """When the second target is asked as well while the first says nothing; None: never."""
