"""The `loquent` command's own state: one run per folder, left-overs of a lost run, and sentences for what is wrong."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from typer.testing import CliRunner

from cluster.command import app
from cluster.embedded.postgres import EmbeddedPostgres
from cluster.embedded.process import Child, Running, SetupError, await_ready, created_at, family, free_port
from cluster.external import check_redis, migrate_database
from cluster.runtime import end_leftovers, load_state, new_state, only_one
from tests.fixtures.conditions import eventually

PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write("started")
time.sleep(600)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    """A child with a child of its own."""
    started = tmp_path / "started"
    child = Child.start("a part", [sys.executable, "-c", PARENT, started], log=tmp_path / "part.log")
    await_ready(child, started.exists, seconds=30)
    yield child
    child.stop()


@pytest.fixture
def run_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOQUENT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    for name in ("DATABASE_URL", "REDIS_URL", "LOQUENT_SECRET_KEY", "LOQUENT_PORT"):
        monkeypatch.delenv(name, raising=False)
    return CliRunner()


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def note(folder: Path, child: Child) -> None:
    state = new_state()
    state.pid, state.created = child.pid, 1.0  # an `up` that is no more
    state.note(Running("a part", "", child.pid, 1))
    state.save(folder)


def test_stopping_a_child_ends_what_it_started(child: Child) -> None:
    members = child.members()
    assert len(members) == 1
    child.stop()
    assert child.exit_code is not None
    assert all(gone(process) for process in members)


async def test_the_family_of_a_killed_leader_is_still_found(child: Child) -> None:
    grandchild = child.members()
    os.kill(child.pid, signal.SIGKILL)
    await eventually(lambda: child.exit_code == -signal.SIGKILL)
    assert child.members() == grandchild


def test_a_reused_pid_has_no_family_of_ours() -> None:
    own = psutil.Process()
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert sleeper.pid in [process.pid for process in family(own.pid, own.create_time())]
        assert family(own.pid, own.create_time() - 100) == []
    finally:
        sleeper.kill()
        sleeper.wait()


def test_leftovers_of_a_lost_run_are_ended_by_the_next(child: Child, tmp_path: Path) -> None:
    note(tmp_path, child)
    processes = [psutil.Process(child.pid), *child.members()]
    assert end_leftovers(tmp_path) == len(processes) == 2
    assert all(gone(process) for process in processes)
    assert load_state(tmp_path) is None


def test_a_process_that_only_has_the_pid_is_left_alone(child: Child, tmp_path: Path) -> None:
    note(tmp_path, child)
    file = tmp_path / "run.json"
    state = json.loads(file.read_text())
    state["parts"][0]["created"] -= 5
    file.write_text(json.dumps(state))
    assert end_leftovers(tmp_path) == 0
    assert child.exit_code is None


@pytest.mark.parametrize(
    "content", ["", "null", "[]", '{"pid": "x"}', '{"pid": 1, "created": 1, "parts": [{"pid": "x"}]}', "\x00\xff"]
)
def test_a_tampered_state_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    assert load_state(tmp_path) is None
    assert end_leftovers(tmp_path) == 0


def test_the_state_is_private_and_comes_back(child: Child, tmp_path: Path) -> None:
    note(tmp_path, child)
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    state = load_state(tmp_path)
    assert state is not None
    assert [(part.pid, part.created) for part in state.parts] == [(child.pid, created_at(child.pid))]


def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path, run_cli: CliRunner) -> None:
    with only_one(tmp_path):
        second = run_cli.invoke(app, ["up"])
    assert second.exit_code == 1
    assert "runs already with this data folder" in second.output
    with only_one(tmp_path):
        pass


def test_down_stops_what_a_killed_run_left(child: Child, tmp_path: Path, run_cli: CliRunner) -> None:
    note(tmp_path, child)
    result = run_cli.invoke(app, ["down"])
    assert result.exit_code == 0
    assert "interrupted run had left" in result.output
    assert child.exit_code is not None
    assert "is not running" in run_cli.invoke(app, ["down"]).output


@pytest.mark.parametrize("command", [["status"], ["demo"], ["ingest", ".", "--chatbot", "x"]])
def test_commands_that_need_a_running_installation_say_so(run_cli: CliRunner, command: list[str]) -> None:
    result = run_cli.invoke(app, command)
    assert result.exit_code == 1
    assert "`loquent up` starts it" in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["s3://bucket?x=1"], "Write the address as s3://bucket/prefix."),
        (["http://example.com:99999/"], "This port is not one of the web."),
        (["rows.csv", "--id-column", "id"], "Say with --text-column which columns hold the text."),
    ],
)
def test_what_cannot_be_ingested_is_said_before_anything_is_asked(
    run_cli: CliRunner, arguments: list[str], sentence: str
) -> None:
    result = run_cli.invoke(app, ["ingest", *arguments, "--chatbot", "x"])
    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_a_wrong_setting_is_named(run_cli: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOQUENT_PORT", "many")
    result = run_cli.invoke(app, ["up"])
    assert result.exit_code == 1
    assert "The setting LOQUENT_PORT is not valid" in result.output


def test_a_database_that_is_not_there_is_one_sentence(run_cli: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOQUENT_SECRET_KEY", "k" * 32)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://a:secret@127.0.0.1:{free_port()}/b")
    result = run_cli.invoke(app, ["migrate"])
    assert result.exit_code == 1
    assert "The database does not let us in" in result.output
    assert "Traceback" not in result.output
    assert "secret" not in result.output


def test_addresses_that_are_none_are_refused() -> None:
    with pytest.raises(SetupError, match="DATABASE_URL is not valid"):
        migrate_database("nonsense", "k")
    with pytest.raises(SetupError, match="REDIS_URL is not valid"):
        check_redis("nonsense")
    with pytest.raises(SetupError, match="does not let us in"):
        check_redis(f"redis://127.0.0.1:{free_port()}/0")


def test_a_redis_with_another_password_is_refused(redis_url: str) -> None:
    check_redis(redis_url)
    with pytest.raises(SetupError, match="does not let us in"):
        check_redis("redis://:wrong@" + redis_url.rpartition("@")[2])


def test_the_database_is_migrated_once() -> None:
    # A server of its own: the roles, whose passwords follow the secret, belong to the whole server.
    with TemporaryDirectory(prefix="loquent-command-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", durable=False)
        try:
            url = server.open().url
            assert migrate_database(url, "k" * 32)[0].startswith("0001_")
            assert migrate_database(url, "k" * 32) == []
        finally:
            server.close()


def test_the_limit_of_open_files_is_raised_as_far_as_allowed() -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2048));"
        "from cluster.up import raise_open_files; raise_open_files();"
        "sys.exit(resource.getrlimit(resource.RLIMIT_NOFILE) != (2048, 2048))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
