"""Evaluations: durable jobs with the configuration that they ask, and the results of their questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from domain.chatbot import ChatbotConfig
from domain.errors import Conflict, NotFound, RateLimited, Unprocessable
from domain.evaluation import Found, Metric, QuestionResult, Summary
from domain.evaluation_run import MOST_OPEN, Evaluation, Mode, RunState
from domain.generation import Usage
from domain.ids import ChatbotId, DocumentId, EvaluationId, QuestionId, QuestionSetId, TenantId, new_uuid
from domain.question_set import MAX_QUESTIONS, QuestionSet
from domain.sealing import result_place
from storage.keys import TenantCipher
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load
from storage.postgres.tenant_keys import cipher_of

_SQL = load("evaluations")
MOST_ATTEMPTS = 3
PAUSE_SECONDS = 5.0
GAVE_UP = "The evaluation was interrupted several times; start it again."


@dataclass(frozen=True, slots=True)
class Claim:
    """An evaluation in work: whoever holds an older attempt writes nothing any more."""

    tenant_id: TenantId
    id: EvaluationId
    attempts: int


class Evaluations:
    """`claim`, `give_back` and `still_running` need a system transaction, the others work in the tenant's."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def request(
        self,
        question_set: QuestionSet,
        mode: Mode,
        config: ChatbotConfig,
        version: int | None,
        requested_by: str,
    ) -> Evaluation:
        """Queue one; `version` is None for a draft.

        Raises Unprocessable for a set without questions, RateLimited when MOST_OPEN wait or run already.
        """
        tenant_id, chatbot_id = question_set.tenant_id, question_set.chatbot_id
        if question_set.questions == 0:
            raise Unprocessable("The question set has no questions yet.")
        row = await fetch_one(self._tx, _SQL["open_ones"], tenant_id=tenant_id)
        if row and row["total"] >= MOST_OPEN:
            raise RateLimited(f"{MOST_OPEN} evaluations wait or run already; let one of them end first.")
        made = EvaluationId(new_uuid())
        await execute(
            self._tx,
            _SQL["request"],
            tenant_id=tenant_id,
            id=made,
            chatbot_id=chatbot_id,
            question_set_id=question_set.id,
            revision=question_set.revision,
            mode=mode.value,
            version=version,
            config=Jsonb(config.model_dump(mode="json")),
            knowledge=await self.knowledge(tenant_id, chatbot_id),
            questions=question_set.questions,
            requested_by=requested_by,
        )
        return await self.get(tenant_id, made)

    async def knowledge(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> str:
        """What tells whether the bot's documents have changed in between."""
        row = await fetch_one(self._tx, _SQL["knowledge"], tenant_id=tenant_id, chatbot_id=chatbot_id)
        return str(row["state"]) if row else ""

    async def get(
        self, tenant_id: TenantId, evaluation_id: EvaluationId, chatbot_id: ChatbotId | None = None
    ) -> Evaluation:
        """Raises NotFound, also for another bot's than `chatbot_id`."""
        row = await fetch_one(self._tx, _SQL["get"], tenant_id=tenant_id, id=evaluation_id, chatbot_id=chatbot_id)
        if row is None:
            raise NotFound("There is no such evaluation.")
        return _evaluation(row)

    async def list_page(
        self,
        tenant_id: TenantId,
        chatbot_id: ChatbotId,
        limit: int,
        before: UUID | None = None,
        question_set_id: QuestionSetId | None = None,
    ) -> list[Evaluation]:
        """Up to `limit`, newest first, older than `before`; of one question set, or of all."""
        values = {"tenant_id": tenant_id, "chatbot_id": chatbot_id, "question_set_id": question_set_id}
        rows = await fetch_all(self._tx, _SQL["list"], **values, limit=limit, before=before)
        return [_evaluation(row) for row in rows]

    async def cancel(self, evaluation: Evaluation) -> None:
        """What it found so far stays. Raises Conflict for one that has ended."""
        if not await execute(self._tx, _SQL["cancel"], tenant_id=evaluation.tenant_id, id=evaluation.id):
            raise Conflict("The evaluation has ended already.")

    async def delete(self, evaluation: Evaluation) -> None:
        """With its results; one that runs ends."""
        await execute(self._tx, _SQL["delete"], tenant_id=evaluation.tenant_id, id=evaluation.id)

    async def claim(self, busy: Sequence[TenantId]) -> Claim | None:
        """Take the next one of the tenants that are not `busy` into work; there is one process that does."""
        row = await fetch_one(self._tx, _SQL["claim"], busy=list(busy))
        return Claim(row["tenant_id"], row["id"], row["attempts"]) if row else None

    async def give_back(self, claim: Claim) -> None:
        """It was cut off: once more later, or never after MOST_ATTEMPTS."""
        values = {"most": MOST_ATTEMPTS, "reason": GAVE_UP, "pause": PAUSE_SECONDS}
        await execute(self._tx, _SQL["give_back"], **_of(claim), **values)

    async def still_running(self, claims: Sequence[Claim]) -> set[EvaluationId]:
        rows = await fetch_all(self._tx, _SQL["still_running"], ids=[claim.id for claim in claims])
        return {EvaluationId(row["id"]) for row in rows}

    async def is_mine(self, claim: Claim) -> bool:
        """False once it was cancelled, deleted, or taken up by another attempt."""
        return await fetch_one(self._tx, _SQL["is_mine"], **_of(claim)) is not None

    async def add_result(self, claim: Claim, result: QuestionResult) -> bool:
        """False when it is not wanted any more."""
        cipher = await cipher_of(self._tx, claim.tenant_id)
        passages = [[str(one.document_id), one.start, one.end, one.score, one.right] for one in result.found]
        return bool(
            await execute(
                self._tx,
                _SQL["add_result"],
                **_of(claim),
                question_id=result.question_id,
                scores=Jsonb({name.value: value for name, value in result.scores.items()}),
                passages=Jsonb(passages),
                sealed=seal_answer(cipher, claim.id, result.question_id, result.answer),
                error=result.error,
                model=result.model,
                prompt_tokens=result.usage.prompt_tokens,
                completion_tokens=result.usage.completion_tokens,
                cached_tokens=result.usage.cached_tokens,
                cost_micro=result.cost_micro,
                retrieval_ms=result.retrieval_ms,
                total_ms=result.total_ms,
            )
        )

    async def complete(self, claim: Claim, summary: Summary) -> bool:
        """False when it is not wanted any more."""
        values: dict[str, Any] = {
            "state": RunState.COMPLETED.value,
            "reason": None,
            "summary": Jsonb(summary.as_json()),
        }
        return bool(await execute(self._tx, _SQL["finish"], **_of(claim), **values))

    async def fail(self, claim: Claim, reason: str) -> bool:
        """`reason` is a sentence for the user. False when it is not wanted any more."""
        values: dict[str, Any] = {"state": RunState.FAILED.value, "reason": reason, "summary": None}
        return bool(await execute(self._tx, _SQL["finish"], **_of(claim), **values))

    async def results(
        self,
        tenant_id: TenantId,
        evaluation_id: EvaluationId,
        limit: int = MAX_QUESTIONS,
        after: UUID | None = None,
    ) -> list[QuestionResult]:
        """In the order of the questions. Raises Unreadable."""
        values = {"tenant_id": tenant_id, "id": evaluation_id, "limit": limit, "after": after}
        rows = await fetch_all(self._tx, _SQL["results"], **values)
        cipher = await cipher_of(self._tx, tenant_id)
        return [_result(cipher, evaluation_id, row) for row in rows]


def seal_answer(
    cipher: TenantCipher, evaluation_id: EvaluationId, question_id: QuestionId, answer: str | None
) -> bytes | None:
    return None if answer is None else cipher.seal_text(result_place(evaluation_id, question_id), answer)


def answer_of(
    cipher: TenantCipher, evaluation_id: EvaluationId, question_id: QuestionId, sealed: bytes | None
) -> str | None:
    """Raises Unreadable."""
    return None if sealed is None else cipher.open_text(result_place(evaluation_id, question_id), sealed)


def _of(claim: Claim) -> dict[str, Any]:
    return {"tenant_id": claim.tenant_id, "id": claim.id, "attempts": claim.attempts}


def _evaluation(row: DictRow) -> Evaluation:
    return Evaluation(
        **{
            **row,
            "mode": Mode(row["mode"]),
            "state": RunState(row["state"]),
            "config": ChatbotConfig.model_validate(row["config"]),
            "summary": None if row["summary"] is None else Summary.from_json(row["summary"]),
        }
    )


def _result(cipher: TenantCipher, evaluation_id: EvaluationId, row: DictRow) -> QuestionResult:
    question_id = QuestionId(row["question_id"])
    return QuestionResult(
        question_id=question_id,
        scores={Metric(name): float(value) for name, value in row["scores"].items()},
        found=tuple(Found(DocumentId(UUID(one[0])), *one[1:]) for one in row["passages"]),
        answer=answer_of(cipher, evaluation_id, question_id, row["sealed"]),
        error=row["error"],
        model=row["model"],
        usage=Usage(row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]),
        cost_micro=row["cost_micro"],
        retrieval_ms=row["retrieval_ms"],
        total_ms=row["total_ms"],
    )
