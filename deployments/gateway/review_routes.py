"""The review queue: messages that a bot's checks found, approved or rejected by a person."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field

from deployments.gateway.models import Body, Limit
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import require
from deployments.gateway.services import GatewayServices, Services
from domain.audit import Action, Details, Origin, Target
from domain.permissions import Permission
from domain.tenancy import Principal
from domain.text import clean_text
from storage.postgres.audit import Audit
from storage.postgres.database import tenant_tx
from storage.postgres.reviews import Review, Reviews, ReviewState

router = APIRouter(tags=["reviews"])

Reader = Annotated[Principal, require(Permission.REVIEWS_READ)]
Reviewer = Annotated[Principal, require(Permission.REVIEWS_DECIDE)]
Note = Annotated[str, AfterValidator(clean_text), Field(max_length=2_000)]


class DecisionBody(Body):
    note: Note = ""


class RejectionBody(DecisionBody):
    withhold: bool = Field(False, description="Take the message out of its conversation.")


class ReviewModel(BaseModel):
    """The message is named, not quoted: who may read conversations reads it there."""

    id: UUID
    chatbot_id: UUID
    session_id: UUID
    turn_id: UUID
    message_id: UUID
    place: Literal["input", "retrieved", "output"]
    check: str = Field(description="Name of the check, as in the bot's `guardrails`.")
    outcome: Literal["flagged", "dropped", "blocked"]
    score: float
    state: ReviewState
    note: str
    decided_by: UUID | None
    decided_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, review: Review) -> Self:
        fields = asdict(review)
        return cls(**fields, check=fields.pop("check_name"))


class ReviewPage(BaseModel):
    items: list[ReviewModel]
    next_cursor: str | None


@router.get("/reviews")
async def list_reviews(
    services: Services,
    reader: Reader,
    limit: Limit = 50,
    state: ReviewState | None = None,
    cursor: UUID | None = None,
) -> ReviewPage:
    """The newest first."""
    async with tenant_tx(services.db, reader.tenant_id) as tx:
        found = await Reviews(tx, reader.tenant_id).list_page(limit + 1, state, cursor)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return ReviewPage(items=[ReviewModel.of(review) for review in found[:limit]], next_cursor=more)


@router.post("/reviews/{review_id}/approve")
async def approve_review(
    review_id: UUID, body: DecisionBody, services: Services, reviewer: Reviewer, origin: CurrentOrigin
) -> ReviewModel:
    """The message stays as it is."""
    return await _decide(services, reviewer, origin, review_id, ReviewState.APPROVED, body.note, withhold=False)


@router.post("/reviews/{review_id}/reject")
async def reject_review(
    review_id: UUID, body: RejectionBody, services: Services, reviewer: Reviewer, origin: CurrentOrigin
) -> ReviewModel:
    """The check was right; with `withhold` nobody reads the message any more, nor does the model."""
    return await _decide(services, reviewer, origin, review_id, ReviewState.REJECTED, body.note, body.withhold)


async def _decide(
    services: GatewayServices,
    reviewer: Principal,
    origin: Origin,
    review_id: UUID,
    state: ReviewState,
    note: str,
    withhold: bool,
) -> ReviewModel:
    tenant_id = reviewer.tenant_id
    async with tenant_tx(services.db, tenant_id) as tx:
        reviews = Reviews(tx, tenant_id)
        review = await reviews.decide(review_id, state, reviewer.user_id, note)
        withheld = await reviews.withhold(review.message_id) if withhold else False
        details: Details = {
            "message_id": str(review.message_id),
            "check": review.check_name,
            "place": review.place,
            "withheld": withheld,
            "note_characters": len(note),
        }
        action = Action.REVIEW_APPROVE if state is ReviewState.APPROVED else Action.REVIEW_REJECT
        await Audit(tx).append(tenant_id, origin, action, Target("review", str(review_id)), details)
    return ReviewModel.of(review)
