"""What retrieval finds on XQuAD: each way of searching, follow-up questions, and questions that nothing answers.

Fusion and relevance were chosen on the first 24 articles in English and German: figures are of the other 24, whose
questions search among the paragraphs of all 48. Without an article among the documents nothing answers its questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from configs.settings import Settings
from domain.document_filter import DocumentFilter
from domain.generation import PromptMessage
from domain.ids import ChatbotId, DocumentId, TenantId, new_uuid
from domain.ports import Reranker
from domain.retrieval.configuration import RetrievalConfig
from domain.retrieval.result import Retrieval, RetrievalRequest
from domain.retrieval.retrieve import RetrievalPorts, retrieve
from storage.models.embedding import EmbeddingModel, embedding_model_path
from storage.models.reranking import RerankingModel
from storage.vectors.store import VectorStore
from tests.fixtures.xquad import Asked, Xquad, load_xquad

TUNED_ON = 24
TENANT, BOT = TenantId(new_uuid()), ChatbotId(new_uuid())
COSINE_ALONE = {"min_score": 0.3, "min_relevance": 0.0}
"""The rule before there was one for relevance."""
EVERYTHING = {"min_score": 0.0, "min_relevance": 0.0}


@dataclass
class _Embedder:
    model: EmbeddingModel
    known: dict[str, list[float]] = field(default_factory=dict)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        for text in texts:
            if text not in self.known:
                self.known[text] = self.model.encode([text])[0].tolist()
        return [self.known[text] for text in texts]

    def learn(self, texts: Sequence[str]) -> None:
        """Many at once are quicker."""
        self.known |= dict(zip(texts, self.model.encode(texts).tolist(), strict=True))


@dataclass(frozen=True)
class _Reranker:
    model: RerankingModel

    async def score(self, question: str, texts: Sequence[str]) -> list[float]:
        return self.model.scores(question, texts)


class _Chosen:
    async def matching(self, tenant_id: TenantId, chatbot_id: ChatbotId, chosen: DocumentFilter) -> list[DocumentId]:
        assert (tenant_id, chatbot_id) == (TENANT, BOT)
        return [DocumentId(one) for one in chosen.document_ids]


async def measure() -> dict[str, Any]:
    settings = Settings()
    model = EmbeddingModel(embedding_model_path(settings), threads=2)
    figures: dict[str, Any] = {"embedding_model": settings.embedding_model}
    for language in ("en", "de"):
        data = load_xquad(language)
        if data is None:
            figures[language] = {"skipped": "the data set is not beside the project"}
            continue
        with TemporaryDirectory() as folder:
            figures[language] = await _language(data, model, folder, settings.reranker_model)
    return figures


async def _language(data: Xquad, model: EmbeddingModel, folder: str, reranker_model: str | None) -> dict[str, Any]:
    store, embedder = VectorStore(folder), _Embedder(model)
    for document, chunks in zip(data.documents, data.chunks, strict=True):
        vectors = model.encode([chunk.text for chunk in chunks])
        await store.add_document(TENANT, BOT, document, "article", chunks, vectors)
    await store.optimize(TENANT, BOT)
    reranker = _Reranker(RerankingModel(reranker_model, threads=2)) if reranker_model else None
    bench = _Bench(data, store, embedder, reranker)
    embedder.learn([asked.text for asked in bench.questions])
    recall = {mode: await bench.recall(mode=mode, **EVERYTHING) for mode in ("vector", "text", "hybrid")}
    return {
        "questions": len(bench.questions),
        "paragraphs": sum(map(len, data.chunks)),
        "recall_at_5": {
            **recall,
            "reranked": {reranker_model: await bench.recall(rerank="on", **EVERYTHING)}
            if reranker_model
            else "skipped: no cross-encoder is shipped; name one as LOQUENT_RERANKER_MODEL",
        },
        "hybrid_at_least_each_alone": recall["hybrid"] >= max(recall["vector"], recall["text"]),
        "follow_ups": await bench.follow_ups(),
        "not_in_the_documents": {
            "cosine_of_0.3_alone": await bench.answered(COSINE_ALONE),
            "relevance": await bench.answered({}),
        },
    }


@dataclass(frozen=True)
class _Bench:
    data: Xquad
    store: VectorStore
    embedder: _Embedder
    reranker: Reranker | None

    @property
    def questions(self) -> list[Asked]:
        return [asked for asked in self.data.questions if asked.article >= TUNED_ON]

    async def find(self, text: str, *history: PromptMessage, **config: object) -> Retrieval:
        ports = RetrievalPorts(self.embedder, self.store.searching, _Chosen(), self.reranker)
        request = RetrievalRequest(TENANT, BOT, text, RetrievalConfig.model_validate(config), history)
        return await retrieve(request, ports)

    async def recall(self, **config: object) -> float:
        """Of the paragraph that holds the answer, among five passages."""
        return _share([self.holds(await self.find(asked.text, **config), asked) for asked in self.questions])

    async def follow_ups(self) -> dict[str, Any]:
        pairs = [pair for pair in self.data.follow_ups() if pair.asked.article >= TUNED_ON]
        found: dict[str, list[bool]] = {"as_asked": [], "rewritten": [], "with_their_names": []}
        seen = []
        for pair in pairs:
            history = (PromptMessage("user", pair.before.text), PromptMessage("assistant", pair.before.answer))
            alone = await self.find(pair.text, *history, rewrite="off", **EVERYTHING)
            rewritten = await self.find(pair.text, *history, **EVERYTHING)
            named = await self.find(pair.asked.text, **EVERYTHING)
            seen.append(rewritten.rewritten)
            for name, result in zip(found, (alone, rewritten, named), strict=True):
                found[name].append(self.holds(result, pair.asked))
        return {
            "questions": len(pairs),
            "seen_as_follow_ups": _share(seen),
            "recall_at_5": {name: _share(held) for name, held in found.items()},
        }

    async def answered(self, config: dict[str, float]) -> dict[str, float]:
        """Both errors of the rule, in percent."""
        missed, passed = [], []
        for asked in self.questions:
            missed.append(not (await self.find(asked.text, **config)).kept)
            others = [one for number, one in enumerate(self.data.documents) if number != asked.article]
            passed.append(bool((await self.find(asked.text, filters={"document_ids": others}, **config)).kept))
        return {
            "percent_of_answered_questions_refused": round(100 * _share(missed), 1),
            "percent_of_unanswered_questions_let_through": round(100 * _share(passed), 1),
        }

    def holds(self, result: Retrieval, asked: Asked) -> bool:
        return (self.data.documents[asked.article], asked.paragraph) in {found.key for found in result.kept}


def _share(held: Sequence[bool]) -> float:
    return round(sum(held) / len(held), 4)
