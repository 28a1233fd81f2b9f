"""The turn's ports over the real parts: Serve handles, engine streams and LanceDB."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog
from grpc import RpcError
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from actors.remembered_queries import CountedQueries, RememberedQueries
from actors.remote_embedding import RemoteEmbedding
from actors.streams import StreamPool
from configs.settings import Settings
from configs.sizing import embedder_deployment
from domain.errors import AppError, InvalidInput, Unavailable
from domain.generation import Delta, EngineTarget, GenerationRequest
from domain.generation_codec import decode_delta, encode_request
from domain.ports import DocumentChooser, QueryEmbedder, Reranker
from domain.retrieval.codec import decode_request, encode_retrieval
from domain.retrieval.result import Retrieval, RetrievalRequest
from domain.retrieval.retrieve import RetrievalPorts, retrieve
from storage.vectors.places import has_no_table, root_of

if TYPE_CHECKING:
    from storage.vectors.search import VectorSearch

log = structlog.get_logger()

APPLICATION = "loquent"
TRY_AGAIN_SECONDS = (0.1, 0.3, 0.6, 1.0, 2.0, 3.0)
"""Between the tries of a call whose replica is gone: Serve has another one within seconds."""
AWAY_SECONDS = 5.0


async def _call(method: Any, *arguments: Any) -> Any:
    """A call that may be repeated. Raises the AppError that the method raised, Unavailable when nobody answers."""
    for pause in (*TRY_AGAIN_SECONDS, None):
        try:
            return await method.remote(*arguments)
        except AppError:
            # Ray's errors are instances of their cause as well.
            raise
        except (RayError, RayServeException, RpcError) as error:
            if pause is None or isinstance(error, RayTaskError):
                raise Unavailable from error
        await asyncio.sleep(pause)
    raise AssertionError


class ServeEmbedder:
    """QueryEmbedder over the Embedder deployment."""

    def __init__(self, deployment: str = "Embedder") -> None:
        self._embedder: Any = serve.get_deployment_handle(deployment, APPLICATION)

    @classmethod
    def of_models(cls, settings: Settings) -> "dict[str, ServeEmbedder]":
        """One for each embedding model that the platform has."""
        usual = settings.embedding_model
        return {model: cls(embedder_deployment(model, usual)) for model in settings.offered_embedding_models}

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        vectors = await _call(self._embedder.embed, list(texts))
        result: list[list[float]] = vectors.tolist()
        return result


class ServeReranker:
    """Reranker over the deployment of that name; after a failure it is left alone for a while.

    Nobody waits long for it: there is an order without it.
    """

    def __init__(self, seconds: float) -> None:
        """`seconds` is what one question may take."""
        self._reranker: Any = serve.get_deployment_handle("Reranker", APPLICATION)
        self._seconds = seconds
        self._away_until = 0.0

    async def score(self, question: str, texts: Sequence[str]) -> list[float]:
        if time.monotonic() < self._away_until:
            raise Unavailable("The reranker is away.")
        try:
            async with asyncio.timeout(self._seconds):
                scores: list[float] = await self._reranker.score.remote(question, list(texts))
        except AppError:
            raise
        except (RayError, RayServeException, RpcError, TimeoutError) as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("reranker.away", error=type(error).__name__)
            raise Unavailable("The reranker is away.") from error
        return scores


class LanceRetriever:
    """Retriever over the chatbot's own table."""

    def __init__(
        self,
        embedder: QueryEmbedder,
        objects_url: str,
        documents: DocumentChooser,
        reranker: Reranker | None = None,
        *,
        embedders: Mapping[str, QueryEmbedder] | None = None,
        remote: RemoteEmbedding | None = None,
    ) -> None:
        """Without a `reranker` the order is that of the fused ranks, whatever a bot asks for. `embedders` are those of
        all models; unset, `embedder` is for any. `remote` counts what they cost."""
        self._embedder = embedder
        self._embedders = embedders
        self.remote = remote
        self._documents = documents
        self._reranker = reranker
        self._objects_url = objects_url
        self._root = root_of(objects_url)
        self._search: "VectorSearch | None" = None
        self._loading = asyncio.Lock()

    @classmethod
    def of(cls, settings: Settings, documents: DocumentChooser) -> "LanceRetriever":
        """Over the deployments of a running platform; what was just embedded is remembered."""
        reranker = ServeReranker(settings.rerank_seconds) if settings.reranker_model else None
        embedders = {model: RememberedQueries(one) for model, one in ServeEmbedder.of_models(settings).items()}
        place = settings.objects_url, documents, reranker
        return cls(RememberedQueries(ServeEmbedder()), *place, embedders=embedders, remote=RemoteEmbedding.of(settings))

    async def load(self) -> "VectorSearch":
        """LanceDB, imported in a thread on first use: a process that takes conversations over must not wait for it."""
        async with self._loading:
            if self._search is None:
                module = await asyncio.to_thread(import_module, "storage.vectors.search")
                self._search = module.VectorSearch.over(self._objects_url)
            return self._search

    async def retrieve(self, request: RetrievalRequest) -> Retrieval:
        knowledge = request.knowledge
        if has_no_table(self._root, request.tenant_id, request.chatbot_id, knowledge.generation):
            return Retrieval(request.question)
        embedder = CountedQueries(self.embedder_of(knowledge.model), self.remote, knowledge.model)
        search = (self._search or await self.load()).of(knowledge.generation)
        found = await retrieve(request, RetrievalPorts(embedder, search, self._documents, self._reranker))
        return replace(found, calls=tuple(embedder.calls)) if embedder.calls else found

    def embedder_of(self, model: str) -> QueryEmbedder:
        """Of a generation's vectors; raises Unavailable for one that the platform does not have."""
        if not model or self._embedders is None:
            return self._embedder
        if model not in self._embedders:
            raise Unavailable(f"This platform does not have the embedding model {model} any more; embed again.")
        return self._embedders[model]

    async def answer(self, payload: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The same as a method of a stream server."""
        try:
            request = decode_request(payload)
        except ValueError:
            raise InvalidInput from None
        yield encode_retrieval(await self.retrieve(request))


class StreamGenerator:
    """Generator over the stream that this process shares with each engine replica."""

    def __init__(self, pool: StreamPool) -> None:
        self._pool = pool

    async def generate(self, target: EngineTarget, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        async with aclosing(self._pool.stream(target.address, "generate", encode_request(request))) as items:
            async for item in items:
                yield decode_delta(item)
