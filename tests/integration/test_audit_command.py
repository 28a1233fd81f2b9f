"""`loquent audit verify`, as an operator runs it."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from cluster.command import app
from tests.fixtures.audit import AuditRig
from tests.fixtures.database import DATABASE_SECRET

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def environment(audit_rig: AuditRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOQUENT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", audit_rig.url)
    monkeypatch.setenv("LOQUENT_SECRET_KEY", DATABASE_SECRET)
    monkeypatch.setenv("COLUMNS", "300")


async def run(*arguments: str) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["audit", "verify", *arguments])
    return result.exit_code, result.output


async def test_whole_chains_are_ok_and_status_is_zero(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant(3)
    await audit_rig.anchor()
    await audit_rig.append(tenant)
    code, output = await run()
    assert code == 0, output
    assert f"tenant {tenant}: ok (4 events, anchored up to 3)" in output


async def test_tampering_is_named_and_status_is_one(audit_rig: AuditRig) -> None:
    tenant, other = await audit_rig.tenant(3), await audit_rig.tenant(3)
    await audit_rig.anchor()
    await audit_rig.tamper("update audit_events set ip = null where tenant_id = %(t)s and seq = 2", t=tenant)
    code, output = await run()
    assert code == 1
    assert f"tenant {tenant}: Event 2 was edited." in output
    assert f"tenant {other}: ok" in output
    assert (await run("--tenant", str(other)))[0] == 0
    assert (await run("--tenant", str(tenant)))[0] == 1


async def test_deleted_anchors_are_named_and_status_is_one(audit_rig: AuditRig) -> None:
    await audit_rig.tenant(1)
    await audit_rig.anchor()
    audit_rig.objects[0].unlink()
    code, output = await run()
    assert code == 1
    assert "Anchor 1 was deleted" in output


async def test_what_cannot_be_checked_is_not_ok(audit_rig: AuditRig, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = await run("--tenant", str(uuid4()))
    assert (code, "Nothing was ever recorded" in output) == (1, True)
    assert (await run("--tenant", "x"))[0] == 2
    monkeypatch.delenv("LOQUENT_SECRET_KEY")
    code, output = await run()
    assert (code, "Set LOQUENT_SECRET_KEY" in output) == (1, True)
    monkeypatch.delenv("DATABASE_URL")
    code, output = await run()
    assert (code, "is not running here" in output) == (1, True)


async def test_a_changed_anchor_is_named_and_status_is_one(audit_rig: AuditRig) -> None:
    await audit_rig.tenant(1)
    await audit_rig.anchor()
    audit_rig.objects[0].write_bytes(audit_rig.objects[0].read_bytes().replace(b'"seq": 1', b'"seq": 2'))
    code, output = await run()
    assert (code, "is not as it was written" in output) == (1, True)
