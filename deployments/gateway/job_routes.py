"""Ingestion jobs: many documents at once, from uploads or from what the platform reads by itself; their progress."""

import json
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, SecretStr

from deployments.gateway.document_intake import notify_ingestion
from deployments.gateway.erasure_models import requester_of
from deployments.gateway.job_models import (
    HashesBody,
    HashesModel,
    JobBody,
    JobFailureModel,
    JobFailurePage,
    JobModel,
    JobPage,
)
from deployments.gateway.job_stream import MEDIA_TYPE, progress
from deployments.gateway.knowledge_routes import Reader, Writer
from deployments.gateway.models import Limit
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.services import GatewayServices, Services
from domain.audit import Action, Details, Origin, Target
from domain.ids import ChatbotId, JobId, TenantId, new_uuid
from domain.jobs import Job
from domain.sealing import source_place
from pipelines.queueing import tell_again
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import Transaction, tenant_tx
from storage.postgres.documents import Documents
from storage.postgres.jobs import Jobs
from storage.postgres.tenant_keys import keys_of

router = APIRouter(tags=["knowledge"])

JOBS = "/knowledgebase/{chatbot_id}/jobs"
JOB = JOBS + "/{job_id}"
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {}}, "description": "`progress` events with the job, then one `end`."}
}


@router.post("/knowledgebase/{chatbot_id}/hashes")
async def known_hashes(
    chatbot_id: UUID, body: HashesBody, services: Services, principal: Writer, origin: CurrentOrigin
) -> HashesModel:
    """Which files need not be sent again."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        chatbots = Chatbots(tx)
        await (chatbots.lock if body.metadata else chatbots.get)(tenant_id, bot)
        known = await Jobs(tx, tenant_id).add_known(bot, body.hashes, JobId(body.job_id) if body.job_id else None)
        if told := {digest: body.metadata[digest] for digest in known if digest in body.metadata}:
            for digest, document in (await Documents(tx).by_hashes(tenant_id, bot, list(told))).items():
                await tell_again(tx, origin, document, told[digest])
    return HashesModel(known=known)


@router.post(JOBS, status_code=202)
async def create_job(
    chatbot_id: UUID, body: JobBody, services: Services, principal: Writer, origin: CurrentOrigin
) -> JobModel:
    """Of uploads, it runs at once and takes files until it is sealed; anything else is read by the platform."""
    tenant_id, bot, job_id = principal.tenant_id, ChatbotId(chatbot_id), JobId(new_uuid())
    sealed: bytes | None = None
    if (secret := _with_secrets(body.source)) is not None:
        sealed = (await keys_of(services.db, tenant_id)).seal_text(source_place(job_id), secret)
    async with tenant_tx(services.db, tenant_id) as tx:
        await Chatbots(tx).get(tenant_id, bot)
        job = await Jobs(tx, tenant_id).insert(
            bot,
            job_id,
            body.name,
            body.source.model_dump(mode="json"),
            requester_of(origin),
            sealed=sealed,
            replaces=body.replaces,
        )
        await _note(tx, origin, Action.JOB_CREATE, job)
    await notify_ingestion(services)
    return JobModel.of(job)


@router.get(JOBS)
async def list_jobs(
    chatbot_id: UUID, services: Services, principal: Reader, limit: Limit = 50, cursor: UUID | None = None
) -> JobPage:
    """Newest first."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        await Chatbots(tx).get(tenant_id, bot)
        found = await Jobs(tx, tenant_id).list_page(bot, limit + 1, cursor)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return JobPage(items=[JobModel.of(job) for job in found[:limit]], next_cursor=more)


@router.get(JOB)
async def get_job(chatbot_id: UUID, job_id: UUID, services: Services, principal: Reader) -> JobModel:
    return JobModel.of(await _job(services, principal.tenant_id, chatbot_id, job_id))


@router.get(JOB + "/failures")
async def list_job_failures(
    chatbot_id: UUID,
    job_id: UUID,
    services: Services,
    principal: Reader,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=64, pattern=r"^[0-9a-f-]+$")] = None,
) -> JobFailurePage:
    """What did not become searchable, and why; in no particular order, which stays the same."""
    tenant_id, job = principal.tenant_id, JobId(job_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        jobs = Jobs(tx, tenant_id)
        await jobs.get(ChatbotId(chatbot_id), job)
        found = await jobs.failures(job, limit + 1, cursor)
    more = found[limit - 1].key if len(found) > limit else None
    return JobFailurePage(items=[JobFailureModel.of(one) for one in found[:limit]], next_cursor=more)


@router.get(JOB + "/events", response_class=StreamingResponse, responses=_EVENTS)
async def watch_job(
    chatbot_id: UUID,
    job_id: UUID,
    services: Services,
    principal: Reader,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> StreamingResponse:
    """Server-sent events: the job whenever it has changed, until it has ended.

    After five minutes the stream closes; a client that comes back with `Last-Event-ID` gets what is new.
    """
    tenant_id, bot, job = principal.tenant_id, ChatbotId(chatbot_id), JobId(job_id)

    async def look() -> Job:
        async with tenant_tx(services.db, tenant_id) as tx:
            return await Jobs(tx, tenant_id).get(bot, job)

    first = await look()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(progress(first, look, last_event_id), media_type=MEDIA_TYPE, headers=headers)


@router.post(JOB + "/seal")
async def seal_job(chatbot_id: UUID, job_id: UUID, services: Services, principal: Writer) -> JobModel:
    """All files of a job of uploads have been handed over: it ends when they have. May be repeated."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        job = await Jobs(tx, principal.tenant_id).seal(ChatbotId(chatbot_id), JobId(job_id))
    return JobModel.of(job)


@router.post(JOB + "/cancel")
async def cancel_job(
    chatbot_id: UUID, job_id: UUID, services: Services, principal: Writer, origin: CurrentOrigin
) -> JobModel:
    """What waits leaves the queue and is removed; what is in work ends. One that has ended stays what it is."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        job, now = await Jobs(tx, principal.tenant_id).cancel(ChatbotId(chatbot_id), JobId(job_id))
        if now:
            await _note(tx, origin, Action.JOB_CANCEL, job)
    await notify_ingestion(services)
    return JobModel.of(job)


async def _job(services: GatewayServices, tenant_id: TenantId, chatbot_id: UUID, job_id: UUID) -> Job:
    async with tenant_tx(services.db, tenant_id) as tx:
        return await Jobs(tx, tenant_id).get(ChatbotId(chatbot_id), JobId(job_id))


async def _note(tx: Transaction, origin: Origin, action: Action, job: Job) -> None:
    # Without its name and addresses, which may say anything.
    details: Details = {"chatbot_id": str(job.chatbot_id), "kind": job.kind}
    await Audit(tx).append(job.tenant_id, origin, action, Target("job", str(job.id)), details)


def _with_secrets(source: BaseModel) -> str | None:
    """As JSON, or None when there are no secrets in it."""
    found = False

    def reveal(value: object) -> str:
        nonlocal found
        if not isinstance(value, SecretStr):
            raise TypeError(f"{type(value).__name__} is no part of a source")
        found = True
        return value.get_secret_value()

    text = json.dumps(source.model_dump(), default=reveal, ensure_ascii=False)
    return text if found else None
