"""Joining a processor group: only where sessions are weighed one by one, and never an error."""

import os
from pathlib import Path

import pytest

from cluster.processor_group import PREFIX, join_processor_group, leave_processor_group


@pytest.fixture
def controller(tmp_path: Path) -> Path:
    controller = tmp_path / "cpu"
    (controller / f"{PREFIX}of-a-dead-one").mkdir(parents=True)
    return controller


def files(tmp_path: Path, autogroups: str, groups: str) -> tuple[Path, Path]:
    (tmp_path / "autogroups").write_text(autogroups)
    (tmp_path / "groups").write_text(groups)
    return tmp_path / "autogroups", tmp_path / "groups"


def test_a_process_of_the_root_group_joins_ours(tmp_path: Path, controller: Path) -> None:
    assert join_processor_group(*files(tmp_path, "1\n", "8:pids:/\n1:cpu,cpuacct:/\n"), controller)
    [group] = controller.glob(f"{PREFIX}*")
    assert (group / "cgroup.procs").read_text() == str(os.getpid())
    leave_processor_group(controller)
    assert (controller / "cgroup.procs").read_text() == str(os.getpid())


@pytest.mark.parametrize(
    ("autogroups", "groups"),
    [("0\n", "1:cpu:/\n"), ("1\n", "1:cpu:/system.slice\n"), ("1\n", "0::/\n"), ("1\n", "1:cpuacct:/\n")],
)
def test_elsewhere_it_stays_where_it_is(tmp_path: Path, controller: Path, autogroups: str, groups: str) -> None:
    assert not join_processor_group(*files(tmp_path, autogroups, groups), controller)
    assert not list(controller.glob(f"{PREFIX}*/*"))


def test_where_that_is_not_allowed_nothing_happens(tmp_path: Path) -> None:
    assert not join_processor_group(*files(tmp_path, "1\n", "1:cpu:/\n"), tmp_path / "away")
    assert not join_processor_group(tmp_path / "none", tmp_path / "none", tmp_path)
    leave_processor_group(tmp_path / "away")
