"""The Protocols that pure rules need from the outside world: the turn, and mail."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from domain.chatbot import ChatbotConfig
from domain.documents import Passage
from domain.generation import Delta, EngineTarget, GenerationRequest, Plan
from domain.ids import ChatbotId, TenantId
from domain.mail import Mail


class Retriever(Protocol):
    async def retrieve(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, question: str, config: ChatbotConfig
    ) -> list[Passage]:
        """Passages above the relevance threshold, best first; empty when the documents have no answer."""


class Planner(Protocol):
    async def plan(self, tenant_id: TenantId, model: str, prompt_tokens: int) -> Plan:
        """Engines to try in order. Raises Unavailable when no engine is healthy, InvalidInput for an unknown model."""

    async def report(self, target: EngineTarget, ok: bool) -> None:
        """Tell the router how an attempt ended, for its breakers."""


class Generator(Protocol):
    def generate(self, target: EngineTarget, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        """Stream from one engine; closing the iterator cancels the generation there. Raises EngineFailed."""


class TokenCounter(Protocol):
    def count(self, text: str) -> int:
        """Tokens of `text` in the model's own tokenizer."""


class Guard(Protocol):
    def check(self, text: str) -> str | None:
        """A refusal to show instead of the text, or None when it may pass."""


class QueryEmbedder(Protocol):
    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One unit vector per text."""


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Hand one mail over. Raises MailRefused when it never will be taken, Unavailable when it may be later."""
