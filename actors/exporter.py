"""The exporter: makes requested archives one after the other, and removes them when their time is over."""

import asyncio
import hashlib
import tempfile
from pathlib import Path

import structlog

from domain.exports import Export
from pipelines.archive import write_archive
from storage.blobs import BlobStore, export_key
from storage.postgres.database import Database, system_tx
from storage.postgres.exports import Exports

log = structlog.get_logger()

EVERY_SECONDS = 1.0
EXPIRE_SECONDS = 60.0
BATCH = 100


class Exporter:
    """One per platform. An archive that was being made when its process ended is made again."""

    def __init__(self, db: Database, blobs: BlobStore) -> None:
        self._db = db
        self._blobs = blobs

    async def work(self) -> float | None:
        """Make one archive; at once again when there was one."""
        async with system_tx(self._db) as tx:
            export = await Exports(tx).claim()
        if export is None:
            return None
        try:
            await self._make(export)
        except Exception as error:  # noqa: BLE001 - one archive that cannot be made must not stop the others
            log.warning("export.failed", export=str(export.id), attempt=export.attempts, error=repr(error))
            async with system_tx(self._db) as tx:
                await Exports(tx).give_back(export)
            return None
        return 0.0

    async def expire(self) -> float | None:
        """Remove what is older than a day; at once again when there was much."""
        async with system_tx(self._db) as tx:
            expired = await Exports(tx).expired(BATCH)
        for tenant_id, export_id in expired:
            await self._blobs.delete(export_key(tenant_id, export_id))
            async with system_tx(self._db) as tx:
                await Exports(tx).delete(tenant_id, export_id)
        return 0.0 if len(expired) == BATCH else None

    async def _make(self, export: Export) -> None:
        key = export_key(export.tenant_id, export.id)
        with tempfile.TemporaryDirectory(prefix="loquent-export-") as folder:
            path = Path(folder) / "export.zip"
            await write_archive(self._db, self._blobs, export, path)
            size, digest = path.stat().st_size, await asyncio.to_thread(_digest, path)
            await self._blobs.put_file(key, path)
        async with system_tx(self._db) as tx:
            kept = await Exports(tx).finish(export, size, digest)
        if not kept:
            # It was erased meanwhile, with what it holds.
            await self._blobs.delete(key)
        log.info("export.done", export=str(export.id), kind=export.kind.value, bytes=size, kept=kept)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
