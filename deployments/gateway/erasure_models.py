"""The JSON shapes of erasures, and what a route says whose work goes on as one."""

import hmac
from datetime import datetime
from typing import Self
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, Field

from configs.settings import Settings
from deployments.gateway.models import Body, Name, Opaque
from domain.audit import Origin
from domain.erasure import Erasure, ErasureKind, ErasureState, Step
from domain.keys import derive_key


class TenantErasureBody(Body):
    password: Opaque = Field(description="Of the owner who asks.")
    name: Name = Field(description="Of the company, as it is written.")


class ErasureModel(BaseModel):
    id: UUID
    kind: ErasureKind
    subject: UUID
    chatbot_id: UUID | None
    state: ErasureState
    requested_by: str = Field(description="`user:<id>`, `visitor:<id>` or `retention`.")
    requested_at: datetime
    not_before: datetime = Field(description="Until then it can be taken back.")
    finished_at: datetime | None
    steps: list[Step] = Field(description="Done since the last search for what is left.")
    erased: dict[str, int] = Field(description="How many went, by store.")
    attempts: int
    error: str | None = Field(description="What the last attempt waits for.")
    receipt_path: str = Field(description="Where its receipt will be, also for who cannot sign in any more.")

    @classmethod
    def of(cls, erasure: Erasure, settings: Settings) -> Self:
        seal = receipt_seal(settings, erasure.tenant_id, erasure.id)
        return cls(
            id=erasure.id,
            kind=erasure.kind,
            subject=erasure.subject,
            chatbot_id=erasure.chatbot_id,
            state=erasure.state,
            requested_by=erasure.requested_by,
            requested_at=erasure.requested_at,
            not_before=erasure.not_before,
            finished_at=erasure.finished_at,
            steps=list(erasure.steps),
            erased=erasure.counts,
            attempts=erasure.attempts,
            error=erasure.error,
            receipt_path=f"/receipts/{erasure.tenant_id}/{erasure.id}/{seal}",
        )


class ErasurePage(BaseModel):
    items: list[ErasureModel]
    next_cursor: str | None


class ReceiptKeyModel(BaseModel):
    algorithm: str = "Ed25519"
    key_id: str
    public_key: str = Field(description="32 bytes, hexadecimal.")


def receipt_seal(settings: Settings, tenant_id: UUID, erasure_id: UUID) -> str:
    """What nobody can guess of a receipt's address."""
    key = derive_key(settings.secret_key.get_secret_value(), "erasure-receipt-link")
    return hmac.digest(key, f"{tenant_id}:{erasure_id}".encode(), "sha256").hex()


def requester_of(origin: Origin) -> str:
    return f"{origin.actor_kind.value}:{origin.actor_id}"


def gone(erasure: Erasure) -> Response:
    """204 for what is not to be seen any more; `Location` is where the rest can be watched."""
    return Response(status_code=204, headers={"Location": f"/erasures/{erasure.id}"})
