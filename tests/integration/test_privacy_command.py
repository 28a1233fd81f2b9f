"""`loquent erasure verify` and `loquent retention run`, as an operator runs them."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.command import app
from domain.chatbot import ChatbotConfig
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx
from storage.postgres.sessions import Sessions
from storage.receipts import ReceiptSigner
from tests.fixtures.audit import AuditRig
from tests.fixtures.database import DATABASE_SECRET

pytestmark = pytest.mark.usefixtures("environment")
RECEIPT = {
    "format": "loquent-erasure-receipt-1",
    "kind": "session",
    "subject": "s",
    "erased": {"blobs": 2},
    "finished_at": "now",
}


@pytest.fixture
def environment(audit_rig: AuditRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOQUENT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", audit_rig.url)
    monkeypatch.setenv("LOQUENT_SECRET_KEY", DATABASE_SECRET)
    monkeypatch.setenv("COLUMNS", "300")


async def run(*arguments: str) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, app, [*arguments])
    return result.exit_code, result.output


async def test_a_receipt_is_verified_by_anybody_who_has_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, file = ReceiptSigner(DATABASE_SECRET), tmp_path / "receipt.json"
    file.write_text(signer.sign(RECEIPT))
    code, output = await run("erasure", "verify", str(file))
    assert (code, "session s: erased 2 blobs" in output) == (0, True), output
    monkeypatch.setenv("LOQUENT_SECRET_KEY", "")
    assert (await run("erasure", "verify", str(file)))[0] == 1
    assert (await run("erasure", "verify", str(file), "--key", signer.public_key.hex()))[0] == 0
    other = ReceiptSigner("other").public_key.hex()
    for key in (other, "abc", "00", "x" * 64):
        code, output = await run("erasure", "verify", str(file), "--key", key)
        assert (code, "Traceback" in output) == (1, False), output
    file.write_text(json.dumps({**json.loads(file.read_text()), "subject": "t"}))
    code, output = await run("erasure", "verify", str(file), "--key", signer.public_key.hex())
    assert (code, "changed" in output) == (1, True), output
    assert (await run("erasure", "verify", str(tmp_path / "none.json")))[0] == 1


async def test_retention_runs_at_once(audit_rig: AuditRig) -> None:
    tenant = await audit_rig.tenant()
    await audit_rig.owner.execute("insert into tenants (id, name) values (%s, 'Test')", [tenant])
    async with tenant_tx(audit_rig.db, tenant) as tx:
        bot = await Chatbots(tx).insert(tenant, "Bot", ChatbotConfig(retention_days=7))
        for _ in range(3):
            await Sessions(tx).insert(tenant, bot.id, "")
    code, output = await run("retention", "run")
    assert (code, "0 conversations and 0 visitors erased" in output) == (0, True), output
    await audit_rig.owner.execute("update sessions set updated_at = now() - interval '8 days'")
    code, output = await run("retention", "run")
    assert (code, "3 conversations and 0 visitors erased" in output) == (0, True), output
    rows = await audit_rig.owner.execute("select kind, state from erasures")
    assert await rows.fetchall() == [{"kind": "retention", "state": "requested"}]
