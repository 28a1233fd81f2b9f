"""Asks a short question on a new session of every tenant, again and again, until each has an answer."""

import asyncio
import time
from uuid import uuid4

import httpx

from tests.faults.journal import Journal
from tests.faults.raw import LOST, raw_socket
from tests.faults.world import Tenant, World

EVERY_SECONDS = 0.25
PROBE_SECONDS = 8.0
IN_A_ROW = 2
"""An answer that overtook the fault must not count as recovery."""


class NotRecovered(Exception):
    """A tenant gets no answer within the time that the runs allow."""


async def recovery_seconds(world: World, journal: Journal, limit: float) -> float:
    """Seconds from now to the answer that every tenant has got. Raises NotRecovered after `limit` seconds."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(limit):
            answered = await asyncio.gather(*(_until_answered(world, journal, tenant) for tenant in world.tenants))
    except TimeoutError:
        raise NotRecovered(f"no answer for every tenant within {limit:.0f} s") from None
    return max(answered) - began


async def _until_answered(world: World, journal: Journal, tenant: Tenant) -> float:
    """When the first of the answers in a row came, on the monotonic clock."""
    times: list[float] = []
    while len(times) < IN_A_ROW:
        if await _answers(world, journal, tenant):
            times.append(time.monotonic())
        else:
            times.clear()
        await asyncio.sleep(EVERY_SECONDS)
    return times[0]


async def _answers(world: World, journal: Journal, tenant: Tenant) -> bool:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            session_id = await world.new_session(tenant)
            session = journal.open(tenant.id, tenant.canary, session_id)
            reader = session.reader("probe", follows_to_end=False)
            client_id = str(uuid4())
            session.asked[client_id] = f"{tenant.canary} probe {client_id}"
            async with raw_socket(world, tenant, session_id, reader) as socket:
                await socket.send({"type": "message", "id": client_id, "text": session.asked[client_id]})
                frame = await socket.until("done")
    except (*LOST, httpx.HTTPError):
        return False
    if frame["type"] == "error":
        session.note_error(frame["code"])
    return bool(frame["type"] == "done" and frame["state"] == "completed")
