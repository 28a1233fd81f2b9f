"""A disk that fills up while a job writes: clear reasons, nothing half searchable, and work that goes on afterwards."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.ingestion_supervisor import IngestionSupervisor
from domain.documents import Document, DocumentStatus
from domain.errors import StorageFull
from domain.ids import ChatbotId, TenantId
from storage.postgres.database import tenant_tx
from storage.postgres.documents import Documents
from storage.vectors.store import VectorStore
from tests.fixtures.conditions import eventually
from tests.fixtures.knowledge import KnowledgeBase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Bot = tuple[TenantId, ChatbotId]
DISK_BYTES = 16 * 1024 * 1024
ROOM_BYTES = 400 * 1024
"""For a part of the documents of the job."""
PATIENCE_SECONDS = 240.0
ENDED = (DocumentStatus.READY, DocumentStatus.FAILED)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_BYTES."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here; that takes root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
async def supervisor(
    knowledge: KnowledgeBase, small_disk: Path, redis_url: str, ray_cluster: Any
) -> AsyncIterator[IngestionSupervisor]:
    """The real one, with the real pipeline and model, over the small disk."""
    base = replace(knowledge, objects_url=str(small_disk))
    supervisor = IngestionSupervisor(base.settings(redis_url), base.urls)
    yield supervisor
    await supervisor.close()


def fill(disk: Path, free: int) -> Path:
    """A file that leaves so many bytes."""
    space = os.statvfs(disk)
    filler = disk / "filler"
    with filler.open("wb") as file:
        left = space.f_bavail * space.f_frsize - free
        while left > 0:
            left -= file.write(bytes(min(left, 1024 * 1024)))
    return filler


def text(number: int) -> bytes:
    """About thirty passages."""
    sentence = "Article {0} of shelf {1} is kept in room {2} and was counted on day {3} of the year by {4} people. "
    return "".join(sentence.format(number, one, one * 7 % 31, one % 365, one % 9) for one in range(200)).encode()


async def test_a_job_over_a_disk_that_fills_up_says_why_and_goes_on_later(
    knowledge: KnowledgeBase, small_disk: Path, supervisor: IngestionSupervisor
) -> None:
    base = replace(knowledge, objects_url=str(small_disk))
    bot, other = await base.new_bot(), await base.new_bot()
    vectors = VectorStore(str(small_disk))

    async def now(documents: list[Document]) -> list[Document]:
        return [await base.document(one) for one in documents]

    async def all_ended(documents: list[Document]) -> bool:
        return all(one.status in ENDED for one in await now(documents))

    before = [await base.upload(*bot, b"The first notice.", "first.txt")]
    job = [await base.upload(*bot, text(number), f"{number}.txt") for number in range(8)]
    filler = fill(small_disk, ROOM_BYTES)
    await supervisor.start()
    await eventually(lambda: all_ended([*before, *job]), PATIENCE_SECONDS)
    found = await now([*before, *job])
    failed = [one for one in found if one.status is DocumentStatus.FAILED]
    assert failed, "the disk was to be full"
    assert {one.reason for one in failed} == {StorageFull.default}
    for one in found:
        assert await vectors.count(*bot, one.id) == (one.chunks or 0), one

    filler.unlink()
    again = []
    for number, one in enumerate(job):
        if (await base.document(one)).status is DocumentStatus.FAILED:
            again.append(await base.upload(*bot, text(number), f"{number}.txt"))
    later = await base.upload(*other, b"When there was room again.", "later.txt")
    await supervisor.notify()
    await eventually(lambda: all_ended([later, *again]), PATIENCE_SECONDS)
    assert {one.status for one in await now([*job, later])} == {DocumentStatus.READY}
    for one in await now([*job]):
        assert await vectors.count(*bot, one.id) == one.chunks
    async with tenant_tx(base.db, bot[0]) as tx:
        assert await Documents(tx).count(*bot) == len(job) + 1
