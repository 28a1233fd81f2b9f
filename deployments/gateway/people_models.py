"""The JSON shapes of members, invitations, companies and of the platform's own routes."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field

from deployments.gateway.models import Body, Email, GivenPassword, GrantModel, Name, Opaque, Password, TenantModel
from domain.tenancy import Role
from storage.postgres.invitations import Invitation
from storage.postgres.members import Member
from storage.postgres.people import Belonging
from storage.postgres.staff import TenantSummary


class MemberModel(BaseModel):
    user_id: UUID
    email: str
    role: Role
    email_verified_at: datetime | None
    joined_at: datetime

    @classmethod
    def of(cls, member: Member) -> Self:
        return cls(
            user_id=member.user_id,
            email=member.email,
            role=member.role,
            email_verified_at=member.email_verified_at,
            joined_at=member.created_at,
        )


class MemberPage(BaseModel):
    items: list[MemberModel]
    next_cursor: str | None


class MemberChange(Body):
    role: Role


class InvitationBody(Body):
    email: Email
    role: Role


class InvitationModel(BaseModel):
    """Never the link: only who reads the address's mail has it."""

    id: UUID
    email: str
    role: Role
    invited_by: UUID | None
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, invitation: Invitation) -> Self:
        return cls(
            id=invitation.id,
            email=invitation.email,
            role=invitation.role,
            invited_by=invitation.invited_by,
            created_at=invitation.created_at,
            expires_at=invitation.expires_at,
        )


class InvitationPage(BaseModel):
    items: list[InvitationModel]
    next_cursor: str | None


class AcceptBody(Body):
    token: Opaque
    password: Annotated[
        GivenPassword | None, Field(description="A new one, or the account's; not needed by who is signed in.")
    ] = None


class AcceptedModel(BaseModel):
    tenant: TenantModel
    role: Role
    grant: GrantModel | None = Field(description="Null where the account existed: then sign in as always.")


class CompanyBody(Body):
    company: Name


class SwitchBody(Body):
    tenant_id: UUID


class BelongingModel(BaseModel):
    tenant: TenantModel
    role: Role
    suspended: bool
    current: bool

    @classmethod
    def of(cls, belonging: Belonging, current: UUID) -> Self:
        tenant = belonging.tenant
        return cls(
            tenant=TenantModel(id=tenant.id, name=tenant.name, plan=tenant.plan),
            role=belonging.role,
            suspended=tenant.suspended_at is not None,
            current=tenant.id == current,
        )


class BelongingList(BaseModel):
    items: list[BelongingModel]


class ForgotBody(Body):
    email: Email


class ResetBody(Body):
    token: Opaque
    password: Password


class PasswordChange(Body):
    old_password: GivenPassword
    password: Password


class LinkBody(Body):
    token: Opaque


class SuspensionBody(Body):
    reason: Annotated[Name, Field(description="Shown in the tenant's audit log.")]


class TenantSummaryModel(BaseModel):
    """How much a tenant has, never what."""

    id: UUID
    name: str
    plan: str
    created_at: datetime
    suspended_at: datetime | None
    members: int
    chatbots: int
    documents: int
    sessions: int

    @classmethod
    def of(cls, tenant: TenantSummary) -> Self:
        return cls.model_validate(tenant, from_attributes=True)


class TenantSummaryPage(BaseModel):
    items: list[TenantSummaryModel]
    next_cursor: str | None
