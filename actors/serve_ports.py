"""The turn's ports over the real parts: Serve handles, engine streams and LanceDB."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from ray import serve
from ray.exceptions import RayError, RayTaskError

from actors.streams import StreamPool
from domain.chatbot import ChatbotConfig
from domain.documents import Passage
from domain.errors import AppError, Unavailable
from domain.generation import Delta, EngineTarget, GenerationRequest, Plan
from domain.generation_codec import decode_delta, encode_request
from domain.ids import ChatbotId, TenantId
from domain.ports import QueryEmbedder
from storage.vectors import VectorStore

APPLICATION = "loquent"


def _cause(error: RayError) -> AppError:
    """What a remote call failed with, as an error of ours."""
    cause = getattr(error, "cause", None)
    if isinstance(error, RayTaskError) and isinstance(cause, AppError):
        return cause
    return Unavailable()


class ServePlanner:
    """Planner over the LlmRouter deployment."""

    def __init__(self) -> None:
        self._router: Any = serve.get_deployment_handle("LlmRouter", APPLICATION)

    async def plan(self, tenant_id: TenantId, model: str, prompt_tokens: int) -> Plan:
        try:
            plan: Plan = await self._router.plan.remote(str(tenant_id), model, prompt_tokens)
        except RayError as error:
            raise _cause(error) from error
        return plan

    async def report(self, target: EngineTarget, ok: bool) -> None:
        # A lost report only delays a breaker; the turn must not wait for it or fail by it.
        self._router.report.remote(target.engine, target.address, ok)


class ServeEmbedder:
    """QueryEmbedder over the Embedder deployment."""

    def __init__(self) -> None:
        self._embedder: Any = serve.get_deployment_handle("Embedder", APPLICATION)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        try:
            vectors = await self._embedder.embed.remote(list(texts))
        except RayError as error:
            raise _cause(error) from error
        result: list[list[float]] = vectors.tolist()
        return result


class LanceRetriever:
    """Retriever: embed the question, then hybrid search in the chatbot's own table."""

    def __init__(self, embedder: QueryEmbedder, vectors: VectorStore) -> None:
        self._embedder = embedder
        self._vectors = vectors

    async def retrieve(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, question: str, config: ChatbotConfig
    ) -> list[Passage]:
        [vector] = await self._embedder.embed([question])
        return await self._vectors.search(
            tenant_id,
            chatbot_id,
            question,
            vector,
            top_k=config.retrieval.top_k,
            min_score=config.retrieval.min_score,
        )


class StreamGenerator:
    """Generator over the stream that this process shares with each engine replica."""

    def __init__(self, pool: StreamPool) -> None:
        self._pool = pool

    async def generate(self, target: EngineTarget, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        async with aclosing(self._pool.stream(target.address, "generate", encode_request(request))) as items:
            async for item in items:
                yield decode_delta(item)
