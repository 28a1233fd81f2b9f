"""Erasure beside other things: work that goes on, requests at once, stores that are away, the end of its process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from actors.eraser import Eraser
from domain.erasure import Erasure, ErasureKind, ErasureState, Step, steps_of
from domain.ids import ChatbotId
from storage.blobs import original_key
from tests.fixtures.erasure import ErasureRig, canary, erase_company, erase_visitor, visitor_chat
from tests.fixtures.gateway import Chat
from tests.fixtures.stored_turns import path, tenant_id_of


async def test_erasure_waits_for_a_document_in_work(erasing: ErasureRig, chat: Chat) -> None:
    """What a run still writes is removed after it, not before."""
    gone, tenant, bot = canary(), tenant_id_of(chat), ChatbotId(UUID(chat.bot))
    document = await erasing.document(chat, gone)
    erasing.in_work.append((bot, document))
    answer = await chat.tenant.call("DELETE", f"/knowledgebase/{chat.bot}/documents/{document}")
    erasure = answer.headers["Location"].rpartition("/")[2]
    eraser = erasing.eraser()
    await erasing.relay()
    for _ in range(3):
        await eraser.work()
        await erasing.hurry()
    found = await erasing.get(tenant, erasure)
    assert (found.state, Step.VECTORS in found.steps) == (ErasureState.RUNNING, False)
    assert await erasing.vectors.count(tenant, bot, document) == 1
    erasing.in_work.clear()
    await erasing.finish(tenant, erasure)
    assert await erasing.places(gone) == []


async def test_events_reach_their_consumers_first(erasing: ErasureRig, chat: Chat) -> None:
    answer = await chat.tenant.call("DELETE", f"/chatbots/{chat.bot}")
    erasure, eraser = answer.headers["Location"].rpartition("/")[2], erasing.eraser()
    for _ in range(2):
        await eraser.work()
        await erasing.hurry()
    assert (await erasing.get(tenant_id_of(chat), erasure)).error == "events are still on their way to their consumers"
    await erasing.finish(tenant_id_of(chat), erasure)


async def test_what_comes_back_is_erased_again(erasing: ErasureRig, chat: Chat) -> None:
    """A straggler that writes between the steps and the search: the search finds it, and all begins anew."""
    gone, tenant = canary(), tenant_id_of(chat)
    document = await erasing.document(chat, gone)
    answer = await chat.tenant.call("DELETE", f"/knowledgebase/{chat.bot}/documents/{document}")
    erasure, eraser = answer.headers["Location"].rpartition("/")[2], erasing.eraser()
    left = eraser._steps.left
    written = False

    async def straggle(erasure: Erasure) -> dict[str, int]:
        nonlocal written
        if not written:
            written = True
            await erasing.blobs.put(original_key(tenant, document), gone.encode())
        return await left(erasure)

    eraser._steps.left = straggle  # type: ignore[method-assign]
    done = await erasing.finish(tenant, erasure, eraser)
    assert written
    assert done.attempts >= 1
    assert await erasing.places(gone) == []


class Killed(BaseException):
    """The process ends here."""


Wrapped = Callable[[Step, Erasure], Awaitable[Erasure]]


def dying(eraser: Eraser, at: Step, *, after: bool) -> Eraser:
    """An eraser whose process dies before a step's record is written, or right after it."""
    do: Wrapped = eraser._do
    outside = eraser._steps.outside

    async def die_before(step: Step, erasure: Erasure) -> dict[str, int]:
        counts = await outside(step, erasure)
        if step is at:
            raise Killed
        return counts

    async def die_after(step: Step, erasure: Erasure) -> Erasure:
        done = await do(step, erasure)
        if step is at:
            raise Killed
        return done

    if after:
        eraser._do = die_after  # type: ignore[method-assign]
    else:
        eraser._steps.outside = die_before  # type: ignore[method-assign]
    return eraser


_TENANT_STEPS = [step for step in steps_of(ErasureKind.TENANT) if step is not Step.VERIFY]
_OUTSIDE = [step for step in _TENANT_STEPS if step not in (Step.ACCESS, Step.KEYS, Step.ROWS, Step.EVENTS)]


@pytest.mark.parametrize(
    ("step", "after"), [*((step, True) for step in _TENANT_STEPS), *((step, False) for step in _OUTSIDE)]
)
async def test_a_restart_between_any_two_steps_loses_nothing(
    erasing: ErasureRig, chat: Chat, step: Step, after: bool
) -> None:
    gone, tenant = canary(), tenant_id_of(chat)
    await erasing.document(chat, gone)
    await erasing.talk(chat, gone)
    answer = await erase_company(chat.tenant)
    erasure = answer.json()["id"]
    await erasing.relay()
    with pytest.raises(Killed):
        await dying(erasing.eraser(), step, after=after).work()
    found = await erasing.get(tenant, erasure)
    assert found.state is ErasureState.RUNNING
    assert (step in found.steps) == after
    done = await erasing.finish(tenant, erasure)
    assert await erasing.places(gone) == []
    assert done.counts["postgres.users"] == 1
    assert (await erasing.receipt(answer))["verified"] is True


async def test_a_store_that_is_away_delays_and_never_fails_it(
    erasing: ErasureRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = tenant_id_of(chat)
    answer = await chat.tenant.call("DELETE", path(chat))
    erasure = answer.headers["Location"].rpartition("/")[2]

    async def away(*_: Any) -> int:
        raise ConnectionError("a secret address")

    monkeypatch.setattr(erasing.hosts, "let_go", away)
    for _ in range(3):
        await erasing.eraser().work()
        await erasing.hurry()
    found = await erasing.get(tenant, erasure)
    assert (found.state, found.attempts, found.error) == (ErasureState.RUNNING, 3, "ConnectionError")
    monkeypatch.undo()
    assert (await erasing.finish(tenant, erasure)).error is None


async def test_two_requests_at_once_are_one_erasure(erasing: ErasureRig, chat: Chat) -> None:
    address = path(chat)
    answers = await asyncio.gather(*(chat.tenant.call("DELETE", address) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404]
    assert len((await chat.tenant.get("/erasures")).json()["items"]) == 1


async def test_sessions_begun_while_their_visitor_is_erased_are_erased_too(erasing: ErasureRig, chat: Chat) -> None:
    theirs, visitor = await visitor_chat(erasing.rig, chat)
    calls = [theirs.tenant.post(f"/chatbots/{chat.bot}/sessions") for _ in range(6)]
    erased, *begun = await asyncio.gather(erase_visitor(theirs, visitor), *calls)
    assert {answer.status_code for answer in begun} <= {201, 401, 404}
    await erasing.finish(tenant_id_of(chat), erased.json()["id"])
    left = await erasing.owner.execute("select 1 from sessions where visitor_id = %s", [visitor])
    assert left.rowcount == 0
