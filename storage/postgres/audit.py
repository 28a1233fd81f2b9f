"""The audit log: append to a tenant's chain in the transaction of the change, list it, and read it for a check."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, fields, replace

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from domain.audit import FIRST_PREVIOUS, Action, AuditEvent, Details, Origin, Target, hash_of
from domain.ids import TenantId
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one, queue
from storage.postgres.queries import load

_SQL = load("audit")
_FIELDS = tuple(field.name for field in fields(AuditEvent))
PAGE = 500


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a tenant's chain."""

    tenant_id: TenantId
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class AnchorRow:
    """An anchor object as the database remembers it."""

    number: int
    key: str
    mac: bytes


class Audit:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def append(
        self,
        tenant_id: TenantId,
        origin: Origin,
        action: Action,
        target: Target,
        details: Details | None = None,
    ) -> AuditEvent:
        """Record what this transaction does; neither is there without the other.

        Other appends of the tenant wait from here until the transaction ends: call it last, and wait for nothing
        outside the database afterwards.
        """
        head = await fetch_one(self._tx, _SQL["lock_head"], tenant_id=tenant_id, first=FIRST_PREVIOUS)
        assert head is not None
        event = AuditEvent(
            tenant_id=tenant_id,
            seq=head["seq"] + 1,
            at=head["at"],
            actor_kind=str(origin.actor_kind),
            actor_id=origin.actor_id,
            action=str(action),
            target_kind=target.kind,
            target_id=target.id,
            ip=origin.ip,
            request_id=origin.request_id,
            details=dict(details or {}),
            previous_hash=bytes(head["hash"]),
            hash=b"",
        )
        event = replace(event, hash=hash_of(event))
        values = {name: getattr(event, name) for name in _FIELDS}
        await queue(self._tx, _SQL["insert"], **{**values, "details": Jsonb(event.details)})
        await queue(self._tx, _SQL["set_head"], tenant_id=tenant_id, seq=event.seq, hash=event.hash)
        return event

    async def list_page(
        self,
        tenant_id: TenantId,
        limit: int,
        before: int | None = None,
        action: str | None = None,
        actor_id: str | None = None,
    ) -> list[AuditEvent]:
        """Up to `limit` events, the newest first, with numbers below `before`."""
        rows = await fetch_all(
            self._tx,
            _SQL["list"],
            tenant_id=tenant_id,
            limit=limit,
            before=before,
            action=action,
            actor_id=actor_id,
        )
        return [_event(row) for row in rows]

    async def following(self, tenant_id: TenantId, after: int, limit: int = PAGE) -> list[AuditEvent]:
        """Up to `limit` events, the oldest first, with numbers above `after`."""
        rows = await fetch_all(self._tx, _SQL["following"], tenant_id=tenant_id, after=after, limit=limit)
        return [_event(row) for row in rows]

    async def whole(self, tenant_id: TenantId) -> AsyncIterator[AuditEvent]:
        """Every event, the oldest first, read page by page."""
        after = -(2**63)
        while page := await self.following(tenant_id, after):
            for event in page:
                yield event
            after = page[-1].seq

    async def freeze(self) -> None:
        """See one moment from here on; the transaction's first statement, and it can only read."""
        await execute(self._tx, _SQL["freeze"])

    async def head(self, tenant_id: TenantId) -> Head | None:
        row = await fetch_one(self._tx, _SQL["head"], tenant_id=tenant_id)
        return Head(tenant_id, row["seq"], bytes(row["hash"])) if row else None

    async def tenants(self) -> list[TenantId]:
        """Needs a system transaction."""
        return [TenantId(row["tenant_id"]) for row in await fetch_all(self._tx, _SQL["tenants"])]


class AnchorRows:
    """Needs a system transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def try_lock(self) -> bool:
        """Be the only one to anchor until the transaction ends; False when another one is."""
        row = await fetch_one(self._tx, _SQL["lock_anchors"])
        return row is not None and bool(row["held"])

    async def unanchored(self, limit: int) -> list[Head]:
        """Heads that changed since they were anchored."""
        rows = await fetch_all(self._tx, _SQL["unanchored"], limit=limit)
        return [Head(TenantId(row["tenant_id"]), row["seq"], bytes(row["hash"])) for row in rows]

    async def newest(self) -> AnchorRow | None:
        row = await fetch_one(self._tx, _SQL["newest_anchor"])
        return _anchor(row) if row else None

    async def list_all(self) -> list[AnchorRow]:
        """In the order of their numbers."""
        return [_anchor(row) for row in await fetch_all(self._tx, _SQL["anchors"])]

    async def record(self, anchor: AnchorRow, heads: list[Head]) -> None:
        """Remember that the object holds these heads."""
        await execute(self._tx, _SQL["insert_anchor"], number=anchor.number, key=anchor.key, mac=anchor.mac)
        await execute(
            self._tx,
            _SQL["mark_anchored"],
            tenant_ids=[head.tenant_id for head in heads],
            hashes=[head.hash for head in heads],
        )


def _event(row: DictRow) -> AuditEvent:
    return AuditEvent(**{**row, "previous_hash": bytes(row["previous_hash"]), "hash": bytes(row["hash"])})


def _anchor(row: DictRow) -> AnchorRow:
    return AnchorRow(row["number"], row["key"], bytes(row["mac"]))
