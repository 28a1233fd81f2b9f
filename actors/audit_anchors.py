"""Anchors the audit log: the ends of chains that changed go, signed, to the object store."""

from datetime import UTC, datetime
from typing import Protocol

from domain.audit import FIRST_PREVIOUS
from domain.audit_anchor import Anchor, object_key, sealed
from storage.postgres.audit import AnchorRow, AnchorRows
from storage.postgres.database import Database, system_tx

MAX_HEADS = 10_000
"""In one object."""


class AnchorStore(Protocol):
    async def put(self, key: str, data: bytes) -> None: ...


async def anchor_heads(db: Database, blobs: AnchorStore, key: bytes) -> int:
    """Write one anchor when any head changed; how many heads it holds.

    The object is stored before the database says so: after a failure in between, the same number is written again
    under another name, and both are good.
    """
    async with system_tx(db) as tx:
        rows = AnchorRows(tx)
        if not await rows.try_lock():
            return 0
        heads = await rows.unanchored(MAX_HEADS)
        if not heads:
            return 0
        newest = await rows.newest()
        anchor = Anchor(
            number=newest.number + 1 if newest else 1,
            previous=newest.mac if newest else FIRST_PREVIOUS,
            at=datetime.now(UTC),
            heads={head.tenant_id: (head.seq, head.hash) for head in heads},
        )
        data, mac = sealed(anchor, key)
        where = object_key(anchor, mac)
        await blobs.put(where, data)
        await rows.record(AnchorRow(anchor.number, where, mac), heads)
    return len(heads)
