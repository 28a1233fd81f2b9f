"""Ingestion jobs over the API: uploads join them, hashes tell what need not be sent, and their progress is streamed."""

import hashlib
import json
from uuid import UUID, uuid4

import pytest
from httpx import Response

from domain.ids import ChatbotId, DocumentId, JobId
from domain.jobs import ItemState
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.jobs import AllJobs, Jobs
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.stored_turns import tenant_id_of

UPLOADS = {"source": {"kind": "upload"}, "name": "Handbook"}


async def new_job(chat: Chat, body: object = UPLOADS) -> str:
    answer = await chat.tenant.post(f"/knowledgebase/{chat.bot}/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def send(chat: Chat, job: str, name: str, data: bytes) -> Response:
    path = f"/knowledgebase/{chat.bot}/upload"
    return await chat.tenant.post(path, params={"job": job}, files={"files": (name, data, "text/plain")})


async def state(chat: Chat, job: str) -> dict[str, object]:
    answer = await chat.tenant.get(f"/knowledgebase/{chat.bot}/jobs/{job}")
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


async def end(rig: GatewayRig, chat: Chat, document: str, *, failed: str = "") -> None:
    """What the supervisor does when ingestion of a document has ended."""
    async with tenant_tx(rig.services.db, tenant_id_of(chat)) as tx:
        jobs = Jobs(tx, tenant_id_of(chat))
        end_state = ItemState.FAILED if failed else ItemState.READY
        await jobs.document_ended(
            DocumentId(UUID(document)), end_state, reason=failed or None, chunks=0 if failed else 3
        )


async def refresh(rig: GatewayRig) -> None:
    async with system_tx(rig.services.db) as tx:
        jobs = AllJobs(tx)
        for job in await jobs.going_on():
            await jobs.refresh(job, (2.0, 6.0))


async def test_a_job_of_uploads_ends_when_it_is_sealed_and_its_documents_have_ended(
    rig: GatewayRig, chat: Chat
) -> None:
    job = await new_job(chat)
    earlier = await chat.tenant.post(f"/knowledgebase/{chat.bot}/upload", files={"files": ("old.txt", b"Old.")})
    sent = [(await send(chat, job, f"{n}.txt", f"Number {n}.".encode())).json()["documents"][0] for n in range(3)]
    again = (await send(chat, job, "old.txt", b"Old.")).json()["documents"][0]
    assert again["id"] == earlier.json()["documents"][0]["id"]
    await end(rig, chat, sent[0]["id"])
    await refresh(rig)
    now = await state(chat, job)
    counts = {name: now[name] for name in ("found", "waiting", "unchanged", "ready", "failed", "chunks")}
    assert counts == {"found": 4, "waiting": 2, "unchanged": 1, "ready": 1, "failed": 0, "chunks": 3}
    assert (now["state"], now["seconds_left"], now["name"]) == ("running", None, "Handbook")

    sealed = (await chat.tenant.post(f"/knowledgebase/{chat.bot}/jobs/{job}/seal")).json()
    assert (sealed["state"], sealed["seconds_left"]) == ("running", 1.0)
    refused = await send(chat, job, "late.txt", b"Late.")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "job_ended")
    await end(rig, chat, sent[1]["id"])
    await end(rig, chat, sent[2]["id"], failed="It is damaged.")
    await refresh(rig)
    now = await state(chat, job)
    assert (now["state"], now["ready"], now["failed"], now["seconds_left"]) == ("completed", 2, 1, 0.0)
    [failure] = (await chat.tenant.get(f"/knowledgebase/{chat.bot}/jobs/{job}/failures")).json()["items"]
    assert (failure["document_id"], failure["name"], failure["reason"]) == (sent[2]["id"], "2.txt", "It is damaged.")
    listed = (await chat.tenant.get(f"/knowledgebase/{chat.bot}/jobs")).json()["items"]
    assert [one["id"] for one in listed] == [job]
    sealed_again = await chat.tenant.post(f"/knowledgebase/{chat.bot}/jobs/{job}/seal")
    assert sealed_again.json()["state"] == "completed"


async def test_a_file_that_is_refused_is_a_failure_of_the_job_and_the_others_are_stored(
    rig: GatewayRig, chat: Chat
) -> None:
    job = await new_job(chat)
    files = [
        ("files", ("good.txt", b"Good.", "text/plain")),
        ("files", ("virus.exe", b"MZ\x90\x00\x03", "application/octet-stream")),
        ("files", ("also.txt", b"Also good.", "text/plain")),
    ]
    answer = await chat.tenant.post(f"/knowledgebase/{chat.bot}/upload", params={"job": job}, files=files)
    assert [one["name"] for one in answer.json()["documents"]] == ["good.txt", "also.txt"]
    assert [one["name"] for one in answer.json()["refused"]] == ["virus.exe"]
    large = await send(chat, job, "large.txt", b"x" * (rig.services.settings.max_upload_bytes + 1))
    assert large.status_code == 413
    await refresh(rig)
    assert (await state(chat, job))["failed"] == 2
    first = (await chat.tenant.get(f"/knowledgebase/{chat.bot}/jobs/{job}/failures", params={"limit": 1})).json()
    cursor = {"cursor": first["next_cursor"]}
    second = (await chat.tenant.get(f"/knowledgebase/{chat.bot}/jobs/{job}/failures", params=cursor)).json()
    assert {one["name"] for one in (*first["items"], *second["items"])} == {"virus.exe", "large.txt"}
    assert second["next_cursor"] is None


async def test_hashes_tell_what_need_not_be_sent(rig: GatewayRig, chat: Chat) -> None:
    await chat.tenant.post(f"/knowledgebase/{chat.bot}/upload", files={"files": ("old.txt", b"Old.")})
    job = await new_job(chat)
    old, new = (hashlib.sha256(text).hexdigest() for text in (b"Old.", b"New."))
    for _ in range(2):
        body = {"hashes": [new, old, old], "job_id": job}
        answer = await chat.tenant.post(f"/knowledgebase/{chat.bot}/hashes", json=body)
        assert answer.json() == {"known": [old]}
    await refresh(rig)
    assert [(await state(chat, job))[name] for name in ("found", "unchanged")] == [1, 1]
    wrong = await chat.tenant.post(f"/knowledgebase/{chat.bot}/hashes", json={"hashes": ["x' or 1=1"]})
    assert wrong.status_code == 422
    gone = await chat.tenant.post(f"/knowledgebase/{chat.bot}/hashes", json={"hashes": [old], "job_id": str(uuid4())})
    assert gone.status_code == 404


async def test_a_cancelled_job_takes_no_more(rig: GatewayRig, chat: Chat) -> None:
    job = await new_job(chat)
    document = (await send(chat, job, "a.txt", b"A.")).json()["documents"][0]["id"]
    path = f"/knowledgebase/{chat.bot}/jobs/{job}/cancel"
    first, second = await chat.tenant.post(path), await chat.tenant.post(path)
    assert [one.json()["state"] for one in (first, second)] == ["cancelled", "cancelled"]
    assert first.json()["ended_at"] is None, "something of it waits still"
    assert (await send(chat, job, "b.txt", b"B.")).status_code == 409
    await end(rig, chat, document)
    await refresh(rig)
    now = await state(chat, job)
    assert (now["state"], now["ready"]) == ("cancelled", 1)
    assert now["ended_at"]
    actions = [one["action"] for one in (await chat.tenant.get("/audit")).json()["items"]]
    assert actions.count("job.cancel") == 1


@pytest.mark.parametrize("last", [None, "something else"])
async def test_progress_is_streamed_until_the_job_has_ended(rig: GatewayRig, chat: Chat, last: str | None) -> None:
    job = await new_job(chat)
    await chat.tenant.post(f"/knowledgebase/{chat.bot}/jobs/{job}/seal")
    await refresh(rig)
    headers = {"Last-Event-ID": last} if last else {}
    answer = await chat.tenant.get(f"/knowledgebase/{chat.bot}/jobs/{job}/events", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    [event] = [block.splitlines() for block in answer.text.strip().split("\n\n")]
    assert event[1] == "event: end"
    assert json.loads(event[2].removeprefix("data: "))["state"] == "completed"


async def test_another_bots_job_is_not_there(rig: GatewayRig, chat: Chat) -> None:
    job, other = await new_job(chat), await chat.tenant.new_bot()
    for method, tail in (("GET", ""), ("GET", "/failures"), ("GET", "/events"), ("POST", "/seal"), ("POST", "/cancel")):
        answer = await chat.tenant.call(method, f"/knowledgebase/{other}/jobs/{job}{tail}")
        assert answer.status_code == 404, tail
    path = f"/knowledgebase/{other}/upload"
    assert (await chat.tenant.post(path, params={"job": job}, files={"files": ("a.txt", b"A.")})).status_code == 404


async def test_jobs_go_with_their_chatbot_and_items_with_their_document(rig: GatewayRig, chat: Chat) -> None:
    job = await new_job(chat)
    document = (await send(chat, job, "a.txt", b"A.")).json()["documents"][0]["id"]
    await send(chat, job, "b.txt", b"B.")
    await chat.tenant.call("DELETE", f"/knowledgebase/{chat.bot}/documents/{document}")
    await refresh(rig)
    assert (await state(chat, job))["found"] == 1
    await chat.tenant.call("DELETE", f"/chatbots/{chat.bot}")
    async with system_tx(rig.services.db) as tx:
        query = "select (select count(*) from ingestion_jobs where id = %(id)s) + (select count(*) from "
        query += "ingestion_job_items where job_id = %(id)s) as n"
        [row] = await (await tx.execute(query.encode(), {"id": job})).fetchall()
    assert row["n"] == 0


async def test_too_many_jobs_at_once_are_refused(rig: GatewayRig, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.postgres.jobs.MOST_OPEN", 1)
    await new_job(chat)
    answer = await chat.tenant.post(f"/knowledgebase/{chat.bot}/jobs", json=UPLOADS)
    assert answer.status_code == 429
    assert answer.headers["retry-after"]


async def test_a_job_that_gets_nothing_for_long_is_sealed(rig: GatewayRig, chat: Chat) -> None:
    job = await new_job(chat)
    async with system_tx(rig.services.db) as tx:
        assert await AllJobs(tx).seal_idle(3_600) == 0
        await tx.execute("update ingestion_jobs set updated_at = now() - interval '2 hours' where id = %s", [job])
        assert await AllJobs(tx).seal_idle(3_600) == 1
    await refresh(rig)
    assert (await state(chat, job))["state"] == "completed"
    tenant, bot = tenant_id_of(chat), ChatbotId(UUID(chat.bot))
    async with tenant_tx(rig.services.db, tenant) as tx:
        assert (await Jobs(tx, tenant).get(bot, JobId(UUID(job)))).sealed_at is not None
