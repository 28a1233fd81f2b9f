"""Compares a new generation with the live one: the same questions in both, against what is known to be right."""

import asyncio
import re
from collections.abc import Sequence

from domain.documents import Passage
from domain.generations import COMPARED, ComparedQuestion, Comparison, QuestionOrigin, compared
from domain.ids import ChatbotId, DocumentId, TenantId
from domain.knowledge import Knowledge
from domain.retrieval.configuration import RetrievalConfig
from domain.retrieval.result import RetrievalRequest
from domain.retrieval.retrieve import RetrievalPorts, retrieve
from pipelines.embed_pools import EmbedPools
from pipelines.embed_stage import EmbedPool
from storage.postgres.database import Database, Transaction, system_tx
from storage.postgres.generation_work import ClaimedGeneration, GenerationWork
from storage.postgres.question_sets import QuestionSets
from storage.vectors.store import VectorStore

MOST_QUESTIONS = 50
FEWEST_ASKED = 10
"""With fewer questions of people, the documents' own sentences say more."""
MOST_WORDS = 24
_SENTENCE = re.compile(r"[^.!?。！？\n]{20,400}")
_LIKE_A_QUESTION = RetrievalConfig(
    top_k=COMPARED, min_score=0.0, min_relevance=0.0, near_duplicates=None, rewrite="off"
)


async def compare_with_live(
    db: Database, vectors: VectorStore, pools: EmbedPools, claimed: ClaimedGeneration
) -> Comparison:
    """What both generations find for up to `MOST_QUESTIONS` stored questions. Raises what the stores and workers do."""
    tenant, bot = claimed.tenant_id, claimed.chatbot_id
    async with system_tx(db) as tx:
        work = GenerationWork(tx)
        live = await work.live(tenant, bot)
        asked, origin = await _of_sets(tx, tenant, bot), QuestionOrigin.QUESTION_SETS
        if len(asked) < FEWEST_ASKED:
            asked, origin = await work.asked(tenant, bot, MOST_QUESTIONS), QuestionOrigin.CONVERSATIONS
    if live is None or live.model not in ("", *pools.offered):
        return compared(None, [], [], [])
    if len(asked) < FEWEST_ASKED:
        sample = await vectors.searching.of(live.generation).sample(tenant, bot, MOST_QUESTIONS)
        asked, origin = [question for passage in sample if (question := _question_of(passage))], QuestionOrigin.PASSAGES
    found = [await _passages(vectors, pools, tenant, bot, knowledge, asked) for knowledge in (live, claimed.knowledge)]
    return compared(origin, asked, *found)


async def _of_sets(tx: Transaction, tenant: TenantId, bot: ChatbotId) -> list[ComparedQuestion]:
    """Questions of the bot's sets that say where in a document the answer stands."""
    found: list[ComparedQuestion] = []
    sets = QuestionSets(tx)
    for one in await sets.list_all(tenant, bot):
        for question in await sets.questions(tenant, one.id, MOST_QUESTIONS):
            spans = tuple(
                (DocumentId(place.document_id), place.start, place.end)
                for place in question.spec.passages
                if place.document_id is not None and place.start is not None and place.end is not None
            )
            if spans:
                found.append(ComparedQuestion(question.spec.question, spans))
    return found[:MOST_QUESTIONS]


async def _passages(
    vectors: VectorStore,
    pools: EmbedPools,
    tenant: TenantId,
    bot: ChatbotId,
    knowledge: Knowledge,
    questions: Sequence[ComparedQuestion],
) -> list[list[Passage]]:
    found: list[list[Passage]] = []
    with pools.use(knowledge.model) as pool:
        ports = RetrievalPorts(_Workers(pool), vectors.searching.of(knowledge.generation))
        for question in questions:
            request = RetrievalRequest(tenant, bot, question.text, _LIKE_A_QUESTION, knowledge=knowledge)
            found.append((await retrieve(request, ports)).passages)
    return found


class _Workers:
    """QueryEmbedder over ingestion's own workers: the comparison takes nothing from who chats."""

    def __init__(self, pool: EmbedPool) -> None:
        self._pool = pool

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        future = self._pool.workers[0].embed.remote(list(texts)).future()
        result: list[list[float]] = (await asyncio.wrap_future(future)).tolist()
        return result


def _question_of(passage: Passage) -> ComparedQuestion | None:
    """The passage's longest sentence, or its beginning, as what somebody might ask for; None where there is none."""
    sentences = list(_SENTENCE.finditer(passage.text))
    if not sentences:
        return None
    longest = max(sentences, key=lambda found: len(found[0].split()))
    text = " ".join(longest[0].split()[:MOST_WORDS])
    start = passage.start + longest.start()
    return ComparedQuestion(text, ((passage.document_id, start, passage.start + longest.end()),))
