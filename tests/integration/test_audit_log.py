"""The audit log in PostgreSQL: appended in order and with the change, never changed, and every tampering is found."""

import asyncio

import psycopg
import pytest

from actors.audit_anchors import anchor_heads
from domain.audit import Action, Origin, Target
from domain.errors import NotFound
from domain.ids import TenantId, new_uuid
from storage.postgres.audit import Audit
from storage.postgres.database import system_tx, tenant_tx
from tests.fixtures.audit import SOMEBODY, AuditRig

EDIT = "update audit_events set details = '{}' where tenant_id = %(tenant)s and seq = 3"
DELETE = "delete from audit_events where tenant_id = %(tenant)s and seq "
ROLL_BACK = (
    "update audit_heads h set seq = e.seq, hash = e.hash, anchored_hash = e.hash from audit_events e"
    " where h.tenant_id = %(tenant)s and e.tenant_id = h.tenant_id and e.seq = 3"
)


async def test_a_hundred_appends_at_once_make_one_chain(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant()
    await asyncio.gather(*(audit_rig.append(tenant, {"number": number}) for number in range(100)))
    async with tenant_tx(audit_rig.db, tenant) as tx:
        events = [event async for event in Audit(tx).whole(tenant)]
    assert [event.seq for event in events] == list(range(1, 101))
    assert sorted(str(event.details["number"]) for event in events) == sorted(map(str, range(100)))
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert await audit_rig.faults(tenant) == []


async def test_an_event_is_there_if_and_only_if_its_change_is(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant(1)

    async def fail() -> None:
        async with tenant_tx(audit_rig.db, tenant) as tx:
            await Audit(tx).append(tenant, SOMEBODY, Action.CHATBOT_DELETE, Target("chatbot", "c"))
            raise NotFound

    with pytest.raises(NotFound):
        await fail()
    await audit_rig.append(tenant)
    async with tenant_tx(audit_rig.db, tenant) as tx:
        events = await Audit(tx).list_page(tenant, 10)
    assert [(event.seq, event.action) for event in events] == [(2, "chatbot.create"), (1, "chatbot.create")]


async def test_what_was_hashed_comes_back_from_the_database(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant()
    await audit_rig.append(
        tenant, {"n": 2**60, "text": 'Bücher \u2028 \U0001f4da "\\', "list": ["b", "a"], "none": None}
    )
    async with system_tx(audit_rig.db) as tx:
        await Audit(tx).append(tenant, Origin(SOMEBODY.actor_kind), Action.USER_LOGOUT, Target("user"), {"yes": True})
    assert await audit_rig.faults(tenant) == []


@pytest.mark.parametrize(
    "statement",
    ["update audit_events set action = 'x'", "delete from audit_events", "truncate audit_events"],
)
async def test_nobody_but_the_owner_of_the_table_changes_it(audit_rig: AuditRig, statement: str) -> None:
    tenant = await audit_rig.tenant(2)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with tenant_tx(audit_rig.db, tenant) as tx:
            await tx.execute(statement.encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with system_tx(audit_rig.db) as tx:
            await tx.execute(statement.encode())
    # Not a matter of grants alone.
    await audit_rig.owner.execute("grant select, update, delete, truncate on audit_events to loquent_system")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        async with system_tx(audit_rig.db) as tx:
            await tx.execute(statement.encode())
    assert await audit_rig.faults(tenant) == []


async def test_a_tenant_sees_and_writes_its_own_log_only(audit_rig: AuditRig) -> None:
    one, other = await audit_rig.tenant(2), await audit_rig.tenant(3)
    async with tenant_tx(audit_rig.db, one) as tx:
        assert await Audit(tx).list_page(other, 10) == []
        assert len(await Audit(tx).list_page(one, 10)) == 2
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        async with tenant_tx(audit_rig.db, one) as tx:
            await Audit(tx).append(other, SOMEBODY, Action.CHATBOT_CREATE, Target("chatbot"))
    assert await audit_rig.faults(other) == []


async def test_an_edited_event_is_found(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant(5)
    await audit_rig.tamper(EDIT, tenant=tenant)
    assert await audit_rig.faults(tenant) == [("edited", 3)]


async def test_a_deleted_event_is_found(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant(5)
    await audit_rig.tamper(DELETE + "= 3", tenant=tenant)
    assert await audit_rig.faults(tenant) == [("missing", 3)]


async def test_a_deleted_end_is_found(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant(5)
    await audit_rig.tamper(DELETE + "> 3", tenant=tenant)
    assert await audit_rig.faults(tenant) == [("cut off", 4)]


async def test_a_deleted_end_is_found_by_the_anchor_where_the_head_was_set_back(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant(5)
    assert await audit_rig.anchor() == 1
    await audit_rig.tamper(DELETE + "> 3", tenant=tenant)
    await audit_rig.tamper(ROLL_BACK, tenant=tenant)
    assert await audit_rig.faults(tenant) == [("cut off", 4)]
    # Growing over the cut, and anchoring what grew, does not heal it.
    for _ in range(4):
        await audit_rig.append(tenant)
    assert await audit_rig.anchor() == 1
    assert await audit_rig.faults(tenant) == [("replaced", 5)]


async def test_a_chain_computed_anew_after_an_edit_is_found_by_the_anchor(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant(5)
    await audit_rig.anchor()
    await audit_rig.tamper(EDIT, tenant=tenant)
    await audit_rig.compute_anew(tenant, 3)
    assert await audit_rig.faults(tenant) == [("replaced", 5)]


async def test_a_log_deleted_whole_is_found(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant(2)
    await audit_rig.anchor()
    await audit_rig.tamper(DELETE + "> 0", tenant=tenant)
    await audit_rig.tamper("delete from audit_heads where tenant_id = %(tenant)s", tenant=tenant)
    assert await audit_rig.faults(tenant) == [("cut off", 1), ("head", None)]
    with pytest.raises(NotFound):
        await audit_rig.verify(TenantId(new_uuid()))


async def test_an_event_that_cannot_be_read_is_found(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant(3)
    await audit_rig.tamper("update audit_events set at = 'infinity' where tenant_id = %(tenant)s", tenant=tenant)
    assert await audit_rig.faults(tenant) == [("unreadable", 1)]


async def test_tampering_with_one_tenant_does_not_blame_the_others(audit_rig: AuditRig) -> None:
    tenant, other = await audit_rig.tenant(5), await audit_rig.tenant(5)
    await audit_rig.anchor()
    await audit_rig.tamper(EDIT, tenant=tenant)
    report = await audit_rig.verify()
    assert {found.tenant_id: len(found.findings) for found in report.tenants} == {tenant: 1, other: 0}
    assert {(found.events, found.anchored) for found in report.tenants} == {(5, 5)}
    assert not report.ok


async def test_only_heads_that_changed_are_anchored(audit_rig: AuditRig) -> None:
    assert await audit_rig.anchor() == 0
    one = await audit_rig.tenant(2)
    await audit_rig.tenant(2)
    assert await audit_rig.anchor() == 2
    assert await audit_rig.anchor() == 0
    await audit_rig.append(one)
    assert await audit_rig.anchor() == 1
    assert len(audit_rig.objects) == 2
    report = await audit_rig.verify()
    assert (report.ok, report.anchors) == (True, 2)


async def test_a_crash_between_the_object_and_its_row_leaves_all_good(audit_rig: AuditRig) -> None:
    class Crashing:
        async def put(self, key: str, data: bytes) -> None:
            await audit_rig.store.put(key, data)
            raise ConnectionResetError

    tenant = await audit_rig.tenant(2)
    with pytest.raises(ConnectionResetError):
        await anchor_heads(audit_rig.db, Crashing(), audit_rig.key)
    await audit_rig.append(tenant)
    assert await audit_rig.anchor() == 1
    assert [path.name[:12] for path in audit_rig.objects] == ["000000000001"] * 2
    await audit_rig.append(tenant)
    assert await audit_rig.anchor() == 1
    assert (await audit_rig.verify()).ok


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_a_deleted_anchor_is_found(audit_rig: AuditRig, which: int) -> None:
    tenant = await audit_rig.tenant()
    for _ in range(3):
        await audit_rig.append(tenant)
        await audit_rig.anchor()
    audit_rig.objects[which].unlink()
    report = await audit_rig.verify()
    assert [(f.fault.value, f.seq) for f in report.anchor_findings] == [("anchors", which + 1)]
    assert report.tenants[0].findings == []


async def test_all_anchors_deleted_are_found(audit_rig: AuditRig) -> None:
    await audit_rig.tenant(1)
    await audit_rig.anchor()
    audit_rig.objects[0].unlink()
    report = await audit_rig.verify()
    assert [finding.seq for finding in report.anchor_findings] == [1]
    assert not report.ok


async def test_a_deleted_anchor_is_found_where_its_row_went_too(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant()
    for _ in range(3):
        await audit_rig.append(tenant)
        await audit_rig.anchor()
    audit_rig.objects[1].unlink()
    await audit_rig.tamper("delete from audit_anchors where number = 2")
    assert [finding.seq for finding in (await audit_rig.verify()).anchor_findings] == [2]


async def test_a_forged_anchor_is_found(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant()
    for _ in range(2):
        await audit_rig.append(tenant)
        await audit_rig.anchor()
    first, second = audit_rig.objects
    second.write_bytes(first.read_bytes())
    report = await audit_rig.verify()
    assert [finding.sentence.split(" is not")[1] for finding in report.anchor_findings] == [" as it was written."]
    second.write_bytes(b"\xff{}")
    assert not (await audit_rig.verify()).ok
