"""What an answer depends on beside its question, and whether a question may have an answer that is kept."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from domain.caching.configuration import CacheConfig
from domain.caching.personal import personal
from domain.chatbot import ChatbotConfig
from domain.conversation import Citation
from domain.generation import PromptMessage
from domain.ids import ChatbotId, SessionId, TenantId
from domain.retrieval.follow_up import leans

_DATE = re.compile(r"\{\{\s*date\b")
FORMAT = 1
"""Of what is kept, and of how prompts are made: another number finds nothing that was kept before."""
REASON = "cache: "
"""How `plan_reason` of a turn begins whose answer was kept from before."""
Match = Literal["exact", "semantic"]


@dataclass(frozen=True, slots=True)
class Versions:
    """What a turn found when its question was stored."""

    config: int
    knowledge: int
    """Grows with every change of the bot's documents that a search can see."""


@dataclass(frozen=True, slots=True)
class CacheScope:
    """An answer that was kept in one scope is for no other."""

    tenant_id: TenantId
    chatbot_id: ChatbotId
    versions: Versions
    model: str
    embedding_model: str
    settings: CacheConfig
    may_keep: bool
    """Whether the turn's own answer may be kept: it has no conversation before it that it could be about."""

    @property
    def tag(self) -> bytes:
        """All of the scope in 16 bytes."""
        whole = (FORMAT, self.tenant_id, self.chatbot_id, self.versions, self.model, self.embedding_model)
        return blake2b(repr(whole).encode(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    question: str
    answer: str
    citations: tuple[Citation, ...]
    model: str
    """The one that answered."""
    session_id: SessionId
    """The conversation that it is from: it is erased with it."""


@dataclass(frozen=True, slots=True)
class CacheHit:
    kept: KeptAnswer
    match: Match
    similarity: float = 1.0

    @property
    def reason(self) -> str:
        """For the message: `cache: exact`, `cache: semantic 0.97`."""
        return REASON + (self.match if self.match == "exact" else f"{self.match} {self.similarity:.2f}")


def match_of(plan_reason: str | None) -> Match | None:
    """How the answer of a stored turn was found, None for one that was made for it."""
    if plan_reason is None or not plan_reason.startswith(REASON):
        return None
    return "exact" if plan_reason.removeprefix(REASON).startswith("exact") else "semantic"


def scope_of(
    tenant_id: TenantId,
    chatbot_id: ChatbotId,
    versions: Versions | None,
    config: ChatbotConfig,
    model: str,
    embedding_model: str,
    question: str,
    history: Sequence[PromptMessage],
    names: Iterable[str] = (),
) -> CacheScope | None:
    """None when the question has to be answered anew: the bot keeps nothing, it is asked again on purpose (no
    `versions`), it or what the model is told is personal, or the conversation before it matters.

    `names` are those of the person who asks.
    """
    if versions is None or config.cache.mode == "off" or config.prompt.varies or personal(question, names) is not None:
        return None
    if config.prompt.personal or _DATE.search(config.prompt.template):
        return None
    if history and (leans(question) or any(one.role == "user" and personal(one.content, names) for one in history)):
        return None
    return CacheScope(tenant_id, chatbot_id, versions, model, embedding_model, config.cache, may_keep=not history)
