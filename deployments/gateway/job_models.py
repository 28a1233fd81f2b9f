"""The JSON shapes of ingestion jobs."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from deployments.gateway.models import Body
from domain.document_filter import Metadata
from domain.jobs import UPLOAD, Job, JobFailure, JobState
from domain.sources import BucketSource, CrawlSource, SitemapSource, UrlSource
from domain.text import clean_text

MAX_HASHES = 1_000

JobName = Annotated[str, AfterValidator(clean_text), Field(max_length=200)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class UploadSource(BaseModel):
    """Files that come over the API, each with `?job=`; `seal` says that there are no more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["upload"] = UPLOAD


JobSource = Annotated[
    UploadSource | UrlSource | SitemapSource | CrawlSource | BucketSource, Field(discriminator="kind")
]


class JobBody(Body):
    source: JobSource
    name: JobName = ""
    replace: bool | None = Field(
        None,
        description="Whether a document takes the place of earlier ones of the same source once it is ready; "
        "unset, it does for everything but uploads.",
    )

    @property
    def replaces(self) -> bool:
        return self.source.kind != UPLOAD if self.replace is None else self.replace


class JobModel(BaseModel):
    id: UUID
    chatbot_id: UUID
    name: str
    kind: str
    source: dict[str, Any] = Field(description="As it was asked for, without secrets.")
    replace: bool
    state: JobState
    reason: str | None = Field(description="Why the source could not be read to its end.")
    requested_by: str = Field(description="`user:<id>` or `api_key:<id>`.")
    found: int = Field(description="Documents so far: those that wait, are unchanged, ready or failed.")
    waiting: int
    unchanged: int = Field(description="The chatbot had their content already.")
    ready: int
    failed: int
    chunks: int
    documents_per_second: float
    chunks_per_second: float
    seconds_left: float | None = Field(description="Null while that cannot be known.")
    created_at: datetime
    started_at: datetime | None
    sealed_at: datetime | None = Field(description="Since when nothing more comes.")
    ended_at: datetime | None
    updated_at: datetime

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(
            id=job.id,
            chatbot_id=job.chatbot_id,
            name=job.name,
            kind=job.kind,
            source=job.source,
            replace=job.replaces,
            state=job.state,
            reason=job.reason,
            requested_by=job.requested_by,
            found=job.found,
            waiting=job.waiting,
            unchanged=job.unchanged,
            ready=job.ready,
            failed=job.failed,
            chunks=job.chunks,
            documents_per_second=round(job.documents_per_second, 2),
            chunks_per_second=round(job.chunks_per_second, 2),
            seconds_left=None if job.seconds_left is None else round(job.seconds_left, 1),
            created_at=job.created_at,
            started_at=job.started_at,
            sealed_at=job.sealed_at,
            ended_at=job.ended_at,
            updated_at=job.updated_at,
        )


class JobPage(BaseModel):
    items: list[JobModel]
    next_cursor: str | None


class JobFailureModel(BaseModel):
    document_id: UUID | None = Field(description="Null for what never became a document.")
    name: str
    reason: str
    at: datetime

    @classmethod
    def of(cls, failure: JobFailure) -> Self:
        return cls(document_id=failure.document_id, name=failure.name, reason=failure.reason, at=failure.at)


class JobFailurePage(BaseModel):
    items: list[JobFailureModel]
    next_cursor: str | None


class HashesBody(Body):
    hashes: list[Sha256] = Field(min_length=1, max_length=MAX_HASHES, description="SHA-256 of files, hexadecimal.")
    job_id: UUID | None = Field(None, description="A job of uploads, which counts what is known as unchanged.")
    metadata: dict[Sha256, Metadata] = Field(
        {}, max_length=MAX_HASHES, description="What is said of known files, by their hash; merged into what they say."
    )


class HashesModel(BaseModel):
    known: list[str] = Field(description="Those of the hashes whose content the chatbot has or is about to have.")
