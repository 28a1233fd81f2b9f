"""Verifies the audit log: every chain is computed anew and compared with its head and its anchors."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import psycopg

from domain.audit import FIRST_PREVIOUS
from domain.audit_anchor import FOLDER, Anchor, object_key, opened
from domain.audit_check import ChainCheck, Fault, Finding
from domain.errors import NotFound
from domain.ids import TenantId
from storage.postgres.audit import AnchorRow, AnchorRows, Audit
from storage.postgres.database import Database, system_tx

READS_AT_ONCE = 16


class Anchors(Protocol):
    async def get(self, key: str) -> bytes: ...

    async def list_keys(self, prefix: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class TenantReport:
    tenant_id: TenantId
    events: int
    """The number of the last event."""
    anchored: int
    """The last number that an anchor knows; what comes after it could be cut off unseen."""
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Report:
    anchors: int
    anchor_findings: list[Finding]
    tenants: list[TenantReport]

    @property
    def ok(self) -> bool:
        return not self.anchor_findings and not any(tenant.findings for tenant in self.tenants)


async def verify(db: Database, store: Anchors, key: bytes, only: TenantId | None = None) -> Report:
    """Check all tenants, or `only` one. The platform may run meanwhile.

    Raises NotFound for a tenant of whom nothing was ever recorded, Unavailable and OSError without the servers.
    """
    # In this order: what is written meanwhile makes the later reading know more, never less.
    async with system_tx(db) as tx:
        recorded = await AnchorRows(tx).list_all()
    anchors, findings = await _read_anchors(store, key, recorded)
    async with system_tx(db) as tx:
        tenants = set(await Audit(tx).tenants())
    tenants |= {tenant for anchor in anchors for tenant in anchor.heads}
    if only is not None:
        if only not in tenants:
            raise NotFound("Nothing was ever recorded of this tenant.")
        tenants = {only}
    return Report(len(anchors), findings, [await _check(db, tenant, anchors) for tenant in sorted(tenants)])


async def _check(db: Database, tenant_id: TenantId, anchors: Iterable[Anchor]) -> TenantReport:
    anchored = [anchor.heads[tenant_id] for anchor in anchors if tenant_id in anchor.heads]
    check = ChainCheck(anchored)
    async with system_tx(db) as tx:
        audit = Audit(tx)
        await audit.freeze()
        head = await audit.head(tenant_id)
        try:
            async for event in audit.whole(tenant_id):
                check.take(event)
        except (psycopg.DataError, ValueError, TypeError, OverflowError):
            # Such a row was not made by the platform: Python has no date for it, for one.
            after = check.last_seq
            findings = [Finding(Fault.UNREADABLE, after + 1, f"An event after {after} cannot be read: it was edited.")]
        else:
            findings = check.finish((head.seq, head.hash) if head else None)
    return TenantReport(tenant_id, check.last_seq, max((seq for seq, _ in anchored), default=0), findings)


async def _read_anchors(store: Anchors, key: bytes, recorded: list[AnchorRow]) -> tuple[list[Anchor], list[Finding]]:
    """Every anchor whose seal holds, and what is wrong with the others."""
    names = await store.list_keys(FOLDER)
    reads = asyncio.Semaphore(READS_AT_ONCE)

    async def read(name: str) -> tuple[Anchor, bytes] | None:
        async with reads:
            try:
                anchor, mac = opened(await store.get(name), key)
            except (NotFound, ValueError):
                return None
        # One put in the place of another is none.
        return (anchor, mac) if object_key(anchor, mac) == name else None

    found = dict(zip(names, await asyncio.gather(*map(read, names)), strict=True))
    findings = [
        Finding(Fault.ANCHORS, None, f"The anchor {name} is not as it was written.")
        for name, content in found.items()
        if content is None
    ]
    good = sorted((content for content in found.values() if content is not None), key=lambda pair: pair[0].number)
    # By number: after a crash there may be two of the same.
    seals: dict[int, set[bytes]] = {0: {FIRST_PREVIOUS}}
    for anchor, mac in good:
        seals.setdefault(anchor.number, set()).add(mac)
    lost = {row.number: row.key for row in recorded if row.mac not in seals.get(row.number, ())}
    lost |= {number: "" for number in range(1, max(seals)) if number not in seals and number not in lost}
    for number, name in sorted(lost.items()):
        if name not in found:
            findings.append(Finding(Fault.ANCHORS, number, f"Anchor {number} was deleted. {name}".rstrip()))
    for anchor, _ in good:
        before = seals.get(anchor.number - 1)
        if before is not None and anchor.previous not in before:
            sentence = f"Anchor {anchor.number} does not follow anchor {anchor.number - 1}."
            findings.append(Finding(Fault.ANCHORS, anchor.number, sentence))
    return [anchor for anchor, _ in good], findings
