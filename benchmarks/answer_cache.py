"""Answers that are kept: how often a question in other words finds one, how often a wrong one, and how long it takes.

`data/asked_alike.yaml` has pairs that ask the same and pairs that look alike, of many domains, English and German. Who
wrote the rules wrote the pairs too; rules and threshold were chosen on every second group, `held_out` is of the others.
A second set of figures says what similarity alone would do.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import yaml

from actors.answer_cache import RedisAnswers
from benchmarks.figures import milliseconds, percentile
from cluster.embedded import EmbeddedValkey
from configs.settings import Settings
from domain.caching.configuration import CacheConfig
from domain.caching.personal import personal
from domain.caching.scope import CacheScope, KeptAnswer, Versions
from domain.caching.wording import Wording
from domain.ids import ChatbotId, SessionId, TenantId, new_uuid
from storage.keys import LocalMasterKeys, TenantCipher, Vault, new_master_key, parse_master_keys
from storage.models.embedding import EmbeddingModel, embedding_model_path
from storage.postgres.database import Database
from storage.redis.client import connect_redis_for_bytes
from storage.redis.kept_answers import KeptAnswers

PAIRS = Path(__file__).parent / "data" / "asked_alike.yaml"
KEPT = 512
ROUNDS = 400
THRESHOLDS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
COLOURS = ("red", "blue", "green", "black", "white", "grey", "amber", "pink")
THINGS = ("lamp", "desk", "chair", "shelf", "sofa", "bed")


@dataclass
class _Embedder:
    model: EmbeddingModel

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        vectors: list[list[float]] = self.model.encode(texts).tolist()
        return vectors


@dataclass(frozen=True)
class _Pair:
    similarity: float
    same_words: bool
    """Whether the rules say that both ask the same."""


async def measure() -> dict[str, Any]:
    settings = Settings()
    embedder = _Embedder(EmbeddingModel(embedding_model_path(settings), threads=2))
    groups: list[dict[str, Any]] = yaml.safe_load(PAIRS.read_text("utf-8"))
    chosen, held_out = groups[0::2], groups[1::2]
    return {
        "embedding_model": settings.embedding_model,
        "threshold": CacheConfig().threshold,
        "chosen_on": await _found(embedder, chosen),
        "held_out": await _found(embedder, held_out),
        "target_false_hits": "<= 0.01",
        **await _times(embedder, held_out),
    }


async def _found(embedder: _Embedder, groups: list[dict[str, Any]]) -> dict[str, Any]:
    same = [await _pair(embedder, one["ask"], other) for one in groups for other in one["same"]]
    other = [await _pair(embedder, one["ask"], other) for one in groups for other in one["other"]]
    threshold = CacheConfig().threshold
    return {
        "paraphrases": len(same),
        "near_misses": len(other),
        "hits": _share(same, threshold),
        "false_hits": _share(other, threshold),
        "by_similarity_alone": {
            str(value): {"hits": _share(same, value, words=False), "false_hits": _share(other, value, words=False)}
            for value in THRESHOLDS
        },
        "with_the_rules_at": {
            str(value): {"hits": _share(same, value), "false_hits": _share(other, value)} for value in THRESHOLDS
        },
    }


async def _pair(embedder: _Embedder, asked: str, other: str) -> _Pair:
    first, second = await embedder.embed([asked, other])
    similarity = sum(x * y for x, y in zip(first, second, strict=True))
    alike = Wording.of(asked).asks_the_same(Wording.of(other))
    return _Pair(similarity, alike and personal(asked) is None and personal(other) is None)


def _share(pairs: Sequence[_Pair], threshold: float, *, words: bool = True) -> float:
    found = sum(pair.similarity >= threshold and (pair.same_words or not words) for pair in pairs)
    return round(found / len(pairs), 3)


async def _times(embedder: _Embedder, groups: list[dict[str, Any]]) -> dict[str, Any]:
    """A semantic hit against one embedding and an exact look-up, taken in turn, with 512 questions kept."""
    with TemporaryDirectory(prefix="loquent-bench-") as folder, ExitStack() as stack:
        server = EmbeddedValkey(Path(folder) / "valkey")
        redis = connect_redis_for_bytes(server.open().url, 5.0)
        stack.callback(server.close)
        tenant, stranger = TenantId(new_uuid()), TenantId(new_uuid())
        vault = Vault(LocalMasterKeys(parse_master_keys(new_master_key())))
        for one in (tenant, stranger):
            vault.remember(TenantCipher(one, {1: bytes(32)}))
        # Ciphers are remembered, so that nobody asks the database.
        db = Database(cast("Any", None), cast("Any", None), vault)
        answers = RedisAnswers(KeptAnswers(redis), db, lambda _: embedder, "bench")
        config = CacheConfig(mode="semantic", max_answers=KEPT)
        scope = CacheScope(tenant, ChatbotId(new_uuid()), Versions(1, 1), "m", "", config, may_keep=True)
        questions = _catalogue()
        for question in questions:
            answers.keep(scope, KeptAnswer(question, "It costs 40 euros. " * 20, (), "m", SessionId(new_uuid())))
            await answers.settled()
        semantic, plain = [], []
        for number in range(ROUNDS):
            asked = questions[number % len(questions)]
            begun = time.perf_counter()
            await embedder.embed([f"Please tell me what the price of item {number} is"])
            hit = await answers.find(scope, asked)
            plain.append(time.perf_counter() - begun)
            assert hit is not None
            assert hit.match == "exact"
            begun = time.perf_counter()
            hit = await answers.find(scope, asked.replace("What does the ", "How much is the ").replace(" cost", ""))
            semantic.append(time.perf_counter() - begun)
            assert hit is not None
            assert (hit.match, hit.kept.question) == ("semantic", asked)
        across = 0
        for other in (replace(scope, tenant_id=stranger), replace(scope, chatbot_id=ChatbotId(new_uuid()))):
            for asked in (*questions, *(one["ask"] for one in groups)):
                across += await answers.find(other, asked) is not None
        miss = []
        exact = replace(scope, settings=CacheConfig(max_answers=KEPT))
        for number in range(ROUNDS):
            begun = time.perf_counter()
            await answers.find(exact, f"Never asked before {number}?")
            miss.append(time.perf_counter() - begun)
        await answers.close()
        await redis.aclose()
    return {
        "kept_questions": len(questions),
        "embedding_and_exact_p50_ms": milliseconds(percentile(plain, 50)),
        "semantic_hit_p50_ms": milliseconds(percentile(semantic, 50)),
        "semantic_hit_to_embedding_and_exact": round(percentile(semantic, 50) / percentile(plain, 50), 3),
        "target_semantic_hit_to_embedding_and_exact": "<= 1.3",
        "exact_miss_p50_us": round(1e6 * percentile(miss, 50), 1),
        "hits_across_tenants_or_bots": across,
        "target_hits_across_tenants_or_bots": 0,
    }


def _catalogue() -> list[str]:
    """Questions that are near each other, all of one shape: the hardest for the vectors."""
    found = [
        f"What does the {colour} {thing} {model} cost?" for model in range(11) for colour in COLOURS for thing in THINGS
    ]
    return found[:KEPT]
