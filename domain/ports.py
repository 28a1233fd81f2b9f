"""The Protocols that pure rules need from the outside world: the turn, and mail."""

from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Protocol

from domain.caching.scope import CacheHit, CacheScope, KeptAnswer
from domain.document_filter import DocumentFilter
from domain.documents import Passage
from domain.generation import Delta, EngineTarget, GenerationRequest, Plan, PlanRequest
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.mail import Mail
from domain.metering import Meter
from domain.retrieval.result import Candidates, ChunkKey, ChunkQuery, Retrieval, RetrievalRequest


class Retriever(Protocol):
    async def retrieve(self, request: RetrievalRequest) -> Retrieval:
        """The passages that answer a question, best first, none when the documents have no answer; and how they were
        found."""


class DocumentChooser(Protocol):
    async def matching(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, chosen: DocumentFilter
    ) -> Sequence[DocumentId]:
        """Every document of the bot that passes the filter."""


class ChunkSearch(Protocol):
    async def find(self, query: ChunkQuery) -> Candidates:
        """The nearest chunks and those that share words with the query; none for a bot without documents."""

    async def chunks(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, keys: Collection[ChunkKey]
    ) -> dict[ChunkKey, Passage]:
        """These chunks, as far as they are there."""


class Reranker(Protocol):
    async def score(self, question: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the question, higher is better. Raises Unavailable, soon, when it cannot say."""


class Planner(Protocol):
    async def plan(self, request: PlanRequest) -> Plan:
        """Engines to try in order.

        Raises InvalidInput for an unknown model or a prompt that cannot fit, ModelStarting while the model is being
        loaded, RateLimited while its provider takes nothing, Unavailable when no engine is healthy.
        """

    async def report(self, target: EngineTarget, ok: bool | None, ttft: float | None = None) -> None:
        """Tell the router how an attempt ended, for its breakers, and the seconds to its first token; None says that
        it was given up for a quicker one."""


class AnswerCache(Protocol):
    async def find(self, scope: CacheScope, question: str, meter: Meter | None = None) -> CacheHit | None:
        """The answer that was kept in this scope for the same question; the meter is told what looking cost. Raises
        nothing: what is away has none."""

    def keep(self, scope: CacheScope, kept: KeptAnswer) -> None:
        """Keep it, later and if it can be."""

    def forget(self, tenant_id: TenantId) -> None:
        """Let go of what is in memory of a tenant's questions."""


class Generator(Protocol):
    def generate(self, target: EngineTarget, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        """Stream from one engine; closing the iterator cancels the generation there. Raises EngineFailed."""


class GenerationPorts(Protocol):
    """What whoever asks a model needs of a turn's ports."""

    @property
    def planner(self) -> Planner: ...
    @property
    def generator(self) -> Generator: ...
    @property
    def meter(self) -> Meter: ...


class TokenCounter(Protocol):
    def __hash__(self) -> int: ...

    @property
    def exact(self) -> bool:
        """Whether it is the model's own tokenizer; another one counts too many rather than too few."""

    def count(self, text: str) -> int:
        """Tokens of `text`."""


class QueryEmbedder(Protocol):
    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One unit vector per text."""


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Hand one mail over. Raises MailRefused when it never will be taken, Unavailable when it may be later."""
