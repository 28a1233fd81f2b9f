"""What a session host does about answers that are kept: opened with it, asked before a turn, told after it."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from ray.util.metrics import Counter
from redis.asyncio import Redis

from actors.answer_cache import EmbedderOf, RedisAnswers
from actors.remote_embedding import RemoteEmbedding
from configs.settings import Settings
from domain.caching.keeping import to_keep
from domain.caching.nothing import NothingKept
from domain.caching.scope import CacheScope, scope_of
from domain.ids import SessionId, TenantId
from domain.ports import AnswerCache
from domain.turn import AnswerEnded, TurnInput
from storage.postgres.database import Database
from storage.postgres.stored_turn import StoredTurn
from storage.redis.kept_answers import KeptAnswers

AfterAnswer = Callable[[TurnInput, SessionId, AnswerEnded], None]
"""Called with every answer that is committed."""


def open_answers(
    stack: AsyncExitStack,
    settings: Settings,
    db: Database,
    redis: Redis,
    embedder_of: EmbedderOf,
    remote: RemoteEmbedding | None = None,
) -> AnswerCache:
    """`redis` answers in bytes and says soon that it is away; the stack ends what is under way. `remote` counts what
    embedding costs."""
    if not settings.answer_cache:
        return NothingKept()
    outcomes = Counter(
        "loquent_cached_answers",
        description="Questions that were looked for among the kept answers: exact, semantic, miss.",
        tag_keys=("outcome",),
    )
    answers = RedisAnswers(
        KeptAnswers(redis),
        db,
        embedder_of,
        settings.secret_key.get_secret_value(),
        lambda outcome: outcomes.inc(tags={"outcome": outcome}),
        remote,
    )
    stack.push_async_callback(answers.close)
    return answers


def kept_answers_for(tenant_id: TenantId, stored: StoredTurn, model: str) -> CacheScope | None:
    """Where an answer to a turn's question may be kept; None where it has to be a new one."""
    return scope_of(
        tenant_id,
        stored.chatbot_id,
        stored.versions,
        stored.config,
        model,
        stored.knowledge.model,
        stored.question,
        stored.said.history,
        (stored.visitor_name,) if stored.visitor_name else (),
    )


def keeping_with(answers: AnswerCache) -> AfterAnswer:
    def after(turn: TurnInput, session_id: SessionId, ended: AnswerEnded) -> None:
        kept = to_keep(turn, session_id, ended)
        if kept is not None and turn.cache is not None:
            answers.keep(turn.cache, kept)

    return after


def keep_nothing(turn: TurnInput, session_id: SessionId, ended: AnswerEnded) -> None:
    """Where no answers are kept."""
