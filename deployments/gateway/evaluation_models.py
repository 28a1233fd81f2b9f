"""The JSON shapes of question sets, evaluations and their comparison."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from deployments.gateway.models import Body, Name
from domain.comparison import Change, ChangedQuestion, Comparison
from domain.evaluation import Metric, QuestionResult, Summary
from domain.evaluation_run import Evaluation, Mode, RunState
from domain.question_set import MAX_ADDED, QuestionSet, QuestionSource, QuestionSpec, StoredQuestion

Version = Annotated[int, Field(ge=1, le=2_147_483_647)]


class QuestionSetBody(Body):
    name: Name


class QuestionsBody(Body):
    questions: list[QuestionSpec] = Field(min_length=1, max_length=100)


class DrawBody(Body):
    rating: Literal["up", "down", "rated", "all"] = Field("all", description="Of the answers that they got.")
    limit: int = Field(100, ge=1, le=MAX_ADDED, description="Of the last questions that were answered.")


class QuestionSetModel(BaseModel):
    id: UUID
    name: str
    revision: int = Field(description="Grows whenever questions come or go.")
    questions: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, question_set: QuestionSet) -> Self:
        return cls.model_validate(asdict(question_set))


class QuestionSetList(BaseModel):
    items: list[QuestionSetModel]


class AddedModel(BaseModel):
    added: int
    known: int = Field(description="Those that the set had already.")
    question_set: QuestionSetModel


class QuestionModel(BaseModel):
    id: UUID
    spec: QuestionSpec
    source: QuestionSource
    rating: Literal["up", "down"] | None = Field(description="What the reader thought of the answer.")
    created_at: datetime

    @classmethod
    def of(cls, question: StoredQuestion) -> Self:
        return cls.model_validate(question, from_attributes=True)


class QuestionPage(BaseModel):
    items: list[QuestionModel]
    next_cursor: str | None


class EvaluationBody(Body):
    question_set_id: UUID
    mode: Mode = Mode.RETRIEVAL
    version: Version | None = Field(None, description="Of the configuration; the live one when unset.")
    draft: bool = Field(False, description="Ask the draft instead.")

    @model_validator(mode="after")
    def _one_configuration(self) -> Self:
        if self.draft and self.version is not None:
            raise ValueError("either `version` or `draft`")
        return self


class MeanModel(BaseModel):
    value: float
    questions: int = Field(description="Those that the metric says something about.")


class TimesModel(BaseModel):
    p50: int
    p95: int


class SummaryModel(BaseModel):
    metrics: dict[Metric, MeanModel]
    questions: int
    errors: int = Field(description="Questions for which no answer could be made.")
    prompt_tokens: int
    completion_tokens: int
    cost_micro: int
    retrieval_ms: TimesModel
    total_ms: TimesModel

    @classmethod
    def of(cls, summary: Summary) -> Self:
        return cls(
            metrics={
                name: MeanModel(value=one.value, questions=one.questions) for name, one in summary.metrics.items()
            },
            questions=summary.questions,
            errors=summary.errors,
            prompt_tokens=summary.prompt_tokens,
            completion_tokens=summary.completion_tokens,
            cost_micro=summary.cost_micro,
            retrieval_ms=TimesModel(p50=summary.retrieval_ms[0], p95=summary.retrieval_ms[1]),
            total_ms=TimesModel(p50=summary.total_ms[0], p95=summary.total_ms[1]),
        )


class EvaluationModel(BaseModel):
    id: UUID
    question_set_id: UUID | None = Field(description="Null when the set was deleted since.")
    revision: int
    mode: Mode
    version: int | None = Field(description="Null for a draft.")
    state: RunState
    reason: str | None = Field(description="Why it failed.")
    questions: int
    done: int
    summary: SummaryModel | None
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, evaluation: Evaluation) -> Self:
        summary = SummaryModel.of(evaluation.summary) if evaluation.summary else None
        names = cls.model_fields.keys() - {"summary"}
        return cls(**{name: getattr(evaluation, name) for name in names}, summary=summary)


class EvaluationPage(BaseModel):
    items: list[EvaluationModel]
    next_cursor: str | None


class FoundModel(BaseModel):
    document_id: UUID
    start: int
    end: int
    score: float
    right: bool = Field(description="Whether it is an expected passage.")


class ResultModel(BaseModel):
    question_id: UUID
    question: str
    scores: dict[Metric, float]
    passages: list[FoundModel] = Field(description="As they were found, best first.")
    answer: str | None
    error: str | None
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost_micro: int
    retrieval_ms: int
    total_ms: int

    @classmethod
    def of(cls, result: QuestionResult, question: str) -> Self:
        return cls(
            question_id=result.question_id,
            question=question,
            scores=result.scores,
            passages=[FoundModel.model_validate(one, from_attributes=True) for one in result.found],
            answer=result.answer,
            error=result.error,
            model=result.model,
            prompt_tokens=result.usage.prompt_tokens,
            completion_tokens=result.usage.completion_tokens,
            cost_micro=result.cost_micro,
            retrieval_ms=result.retrieval_ms,
            total_ms=result.total_ms,
        )


class ResultPage(BaseModel):
    items: list[ResultModel]
    next_cursor: str | None


class DifferenceModel(BaseModel):
    a: float
    b: float
    change: float
    questions: int


class ChangedQuestionModel(BaseModel):
    question_id: UUID
    question: str
    change: Change
    scores: dict[Metric, tuple[float, float]] = Field(description="Before and after, of the metrics that changed.")

    @classmethod
    def of(cls, changed: ChangedQuestion, question: str) -> Self:
        return cls(
            question_id=changed.question_id, question=question, change=changed.change, scores=dict(changed.scores)
        )


class ComparisonModel(BaseModel):
    a: EvaluationModel
    b: EvaluationModel
    metrics: dict[Metric, DifferenceModel] = Field(description="Over the questions that both asked.")
    common: int
    only_a: int
    only_b: int
    better: int
    worse: int
    mixed: int
    changed: list[ChangedQuestionModel] = Field(description="At most 500, the worse ones first.")

    @classmethod
    def of(cls, a: Evaluation, b: Evaluation, found: Comparison, changed: list[ChangedQuestionModel]) -> Self:
        kinds = [one.change for one in found.changed]
        return cls(
            a=EvaluationModel.of(a),
            b=EvaluationModel.of(b),
            metrics={
                one.metric: DifferenceModel(a=one.before, b=one.after, change=one.change, questions=one.questions)
                for one in found.metrics
            },
            common=found.common,
            only_a=found.only_before,
            only_b=found.only_after,
            better=kinds.count(Change.BETTER),
            worse=kinds.count(Change.WORSE),
            mixed=kinds.count(Change.MIXED),
            changed=changed,
        )
