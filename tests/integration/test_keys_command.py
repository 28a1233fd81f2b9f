"""`loquent keys`, as an operator runs it."""

import asyncio
import stat
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from cluster.command import app
from cluster.embedded.process import SetupError
from cluster.key_file import add_master_key, key_file, master_keys_of
from configs.settings import Settings
from domain.ids import ChatbotId, TenantId
from storage.keys import parse_master_keys
from storage.postgres.database import system_tx, tenant_tx
from storage.postgres.sessions import Sessions
from tests.fixtures.database import DATABASE_SECRET, MASTER_KEYS
from tests.fixtures.knowledge import KnowledgeBase

Bot = tuple[TenantId, ChatbotId]
NEW = "new-2026:" + "7b" * 32


@pytest.fixture
async def environment(knowledge: KnowledgeBase, bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of a platform with one tenant that has stored something."""
    async with tenant_tx(knowledge.db, bot[0]) as tx:
        await Sessions(tx).insert(*bot, "Warranty")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOQUENT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", knowledge.urls[0])
    monkeypatch.setenv("LOQUENT_SECRET_KEY", DATABASE_SECRET)
    monkeypatch.setenv("LOQUENT_MASTER_KEYS", MASTER_KEYS.get_secret_value())
    monkeypatch.setenv("COLUMNS", "300")


async def run(*arguments: str) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["keys", *arguments])
    return result.exit_code, result.output


@pytest.mark.usefixtures("environment")
async def test_keys_are_listed_rotated_and_resealed(knowledge: KnowledgeBase, bot: Bot) -> None:
    code, output = await run("list")
    assert code == 0
    assert [line.split()[-1] for line in output.splitlines() if str(bot[0]) in line] == ["seals"]
    assert "5a5a" not in output
    code, output = await run("rotate", str(bot[0]))
    assert (code, "version 2 seals in a few minutes" in output) == (0, True)
    code, output = await run("rotate", "--all")
    assert (code, "not in use yet" in output) == (1, True)
    async with system_tx(knowledge.db) as tx:
        await tx.execute("update tenant_keys set active_from = now() - interval '26 hours'")
    code, output = await run("reseal")
    assert (code, "Sealed 1 rows and 0 documents; 1 older keys are gone." in output) == (0, True), output
    _, output = await run("list", "--tenant", str(bot[0]))
    assert [line.split()[1] for line in output.splitlines() if str(bot[0]) in line] == ["2"]


@pytest.mark.usefixtures("environment")
async def test_the_master_key_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOQUENT_MASTER_KEYS", f"{NEW},{MASTER_KEYS.get_secret_value()}")
    code, output = await run("rotate-master")
    assert (code, "1 wrapped anew" in output) == (0, True), output
    code, output = await run("rotate-master")
    assert (code, "Every key is wrapped with the newest" in output) == (0, True)
    monkeypatch.setenv("LOQUENT_MASTER_KEYS", NEW)
    code, output = await run("reseal")
    assert code == 0, output
    monkeypatch.setenv("LOQUENT_MASTER_KEYS", "other:" + "1c" * 32)
    code, output = await run("rotate-master")
    assert (code, "not available" in output) == (1, True), "nobody can unwrap it"


@pytest.mark.usefixtures("environment")
async def test_what_cannot_be_done_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (("rotate",), ("rotate", str(uuid4()), "--all")):
        code, output = await run(*arguments)
        assert (code, "Name a tenant, or say --all." in output) == (1, True)
    code, output = await run("rotate", str(uuid4()))
    assert (code, "has no key yet" in output) == (1, True)
    code, output = await run("list", "--tenant", str(uuid4()))
    assert (code, "There are no keys yet." in output) == (1, True)
    assert (await run("rotate", "x"))[0] == 2
    code, output = await run("add-master")
    assert (code, "put a new one before them there" in output) == (1, True)
    monkeypatch.setenv("LOQUENT_MASTER_KEYS", "a:5a")
    code, output = await run("list")
    assert (code, "LOQUENT_MASTER_KEYS is not valid" in output, "a:5a" in output) == (1, True, False)
    monkeypatch.delenv("LOQUENT_MASTER_KEYS")
    code, output = await run("list")
    assert (code, "Set LOQUENT_MASTER_KEYS" in output) == (1, True)


def test_the_key_of_an_installation_is_made_once_and_kept(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, _env_file=None)
    with pytest.raises(SetupError, match="LOQUENT_MASTER_KEYS"):
        master_keys_of(settings, make=False)
    made = master_keys_of(settings)
    assert master_keys_of(settings) == master_keys_of(settings, make=False) == made
    assert stat.S_IMODE(key_file(settings).stat().st_mode) == 0o600
    name = add_master_key(settings)
    keys = parse_master_keys(master_keys_of(settings))
    assert list(keys) == [name, made.partition(":")[0]]
    key_file(settings).write_text("garbage")
    with pytest.raises(SetupError, match="is not valid"):
        master_keys_of(settings)
