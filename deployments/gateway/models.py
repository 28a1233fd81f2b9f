"""The JSON shapes of the HTTP API, and how they are made from the domain's types."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, EmailStr, Field

from domain.chatbot import Chatbot, ChatbotConfig, ConfigVersion
from domain.document_filter import Metadata
from domain.documents import Document, DocumentStatus
from domain.tenancy import Role
from domain.text import clean_text
from storage.postgres.accounts import Account


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _address_alone(email: object) -> object:
    """`Name <address>` would be taken for the address: what is shown must be what was sent."""
    if isinstance(email, str) and "<" in email:
        raise ValueError("must be an address without a name")
    return email


Name = Annotated[str, AfterValidator(clean_text), AfterValidator(_not_blank), Field(min_length=1, max_length=200)]
Email = Annotated[EmailStr, BeforeValidator(_address_alone), Field(max_length=254)]
GivenPassword = Annotated[str, AfterValidator(clean_text), Field(min_length=1, max_length=128)]
"""One that exists, whatever today's rules are."""
Password = Annotated[str, AfterValidator(clean_text), Field(min_length=8, max_length=128)]
Opaque = Annotated[str, AfterValidator(clean_text), Field(min_length=1, max_length=512)]
Limit = Annotated[int, Field(ge=1, le=100)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RegisterBody(Body):
    email: Email
    password: Password
    company: Name


class LoginBody(Body):
    email: Email
    password: GivenPassword


class RefreshBody(Body):
    refresh_token: Opaque


class UserModel(BaseModel):
    id: UUID
    email: str


class TenantModel(BaseModel):
    id: UUID
    name: str
    plan: str


class MeModel(BaseModel):
    user: UserModel
    tenant: TenantModel
    role: Role
    email_verified_at: datetime | None = Field(description="Null until the person has opened a link mailed to them.")

    @classmethod
    def of(cls, account: Account) -> Self:
        verified_at = account.user.email_verified_at
        return cls(**account_parts(account), role=account.role, email_verified_at=verified_at)


class GrantModel(BaseModel):
    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int = Field(description="Seconds that the access token lives.")
    user: UserModel
    tenant: TenantModel


def account_parts(account: Account) -> dict[str, Any]:
    user, tenant = account.user, account.tenant
    return {
        "user": UserModel(id=user.id, email=user.email),
        "tenant": TenantModel(id=tenant.id, name=tenant.name, plan=tenant.plan),
    }


class ChatbotBody(Body):
    name: Name
    config: dict[str, Any] = Field({}, description="Any of the fields of the configuration.")


class ChatbotModel(BaseModel):
    id: UUID
    name: str
    version: int
    config: ChatbotConfig
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, chatbot: Chatbot) -> Self:
        return cls(
            id=chatbot.id,
            name=chatbot.name,
            version=chatbot.version,
            config=chatbot.config,
            created_at=chatbot.created_at,
            updated_at=chatbot.updated_at,
        )


class ChatbotList(BaseModel):
    items: list[ChatbotModel]


class VersionModel(BaseModel):
    version: int
    config: ChatbotConfig
    created_at: datetime

    @classmethod
    def of(cls, version: ConfigVersion) -> Self:
        return cls(version=version.version, config=version.config, created_at=version.created_at)


class VersionList(BaseModel):
    items: list[VersionModel]


class DocumentModel(BaseModel):
    id: UUID
    name: str
    media_type: str
    size: int
    status: DocumentStatus
    reason: str | None
    pages: int | None
    chunks: int | None
    metadata: Metadata
    language: str | None = Field(description="ISO 639-1, of its text; null where it was not recognised.")
    source: str | None = Field(description="The address or path that it came from.")
    notice: str | None = Field(description="What could not be read of it, although the rest is searchable.")
    recognised_pages: int | None = Field(description="Pages that are pictures whose text was recognised (OCR).")
    recognition_confidence: float | None = Field(description="Of these pages, from 0 to 1.")
    stale: bool = Field(description="Its chunks were made with another chunking or embedding model than the bot's now.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, document: Document, present: str) -> Self:
        """`present` is the fingerprint that documents of the bot would have now."""
        return cls.model_validate({**asdict(document), "stale": document.is_stale(present)})


class DocumentChange(Body):
    name: Annotated[str, AfterValidator(clean_text), AfterValidator(_not_blank)] | None = Field(
        None, min_length=1, max_length=255
    )
    metadata: Metadata | None = Field(None, description="In place of all there was.")


class RefusedFile(BaseModel):
    name: str
    reason: str


class UploadModel(BaseModel):
    documents: list[DocumentModel]
    refused: list[RefusedFile] = Field([], description="Files that a job could not take; it lists them as failures.")


class DocumentPage(BaseModel):
    items: list[DocumentModel]
    next_cursor: str | None
