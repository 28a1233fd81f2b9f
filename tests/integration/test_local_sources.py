"""Folders, files and patterns as sources: what is taken, under which key, and what stays outside."""

import os
from pathlib import Path

import pytest

from pipelines.parsing.registry import HTML, MARKDOWN, PDF, TEXT
from pipelines.sources import local
from pipelines.sources.found import SourceLimits
from pipelines.sources.local import LocalSource
from tests.fixtures import files
from tests.fixtures.sources import read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    for name, data in {
        "b.txt": b"Second.",
        "a/guide.md": b"# Guide",
        "a/page.html": files.html("T", "<p>Hi.</p>"),
        "c/deep/er/x.pdf": files.pdf(["Page."]),
        ".hidden/y.txt": b"no",
        "a/.secret.txt": b"no",
        "a/picture.png": b"\x89PNG\r\n\x1a\n" + bytes(20),
        "empty.txt": b"",
        "lie.pdf": b"no pdf at all",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


async def test_a_folder_is_read_to_its_depth_and_failures_stay_alone(folder: Path) -> None:
    found = await read(LocalSource(str(folder)))
    assert {key: item.media_type for key, item in found.items.items()} == {
        "b.txt": TEXT,
        "a/guide.md": MARKDOWN,
        "a/page.html": HTML,
        "c/deep/er/x.pdf": PDF,
    }
    assert found.bodies["b.txt"] == b"Second."
    item = found.items["a/guide.md"]
    assert (item.name, item.source, item.content.size) == ("guide.md", str(folder / "a/guide.md"), 7)
    assert set(found.failures) == {"a/picture.png", "empty.txt", "lie.pdf"}
    assert found.failures["empty.txt"] == "The file is empty."
    assert found.failures["lie.pdf"] == "The file is named .pdf, but its content is something else."


async def test_links_do_not_lead_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/z.txt").write_text("secret")
    (folder / "out.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "out").symlink_to(tmp_path / "elsewhere")
    (folder / "round").symlink_to(folder)
    (folder / "lost.txt").symlink_to(tmp_path / "nothing")
    (folder / "same.txt").symlink_to(folder / "b.txt")
    os.mkfifo(folder / "pipe.txt")
    found = await read(LocalSource(str(folder)))
    assert found.failures["out.txt"] == found.failures["out"] == local.OUTSIDE
    assert found.failures["lost.txt"] == "The link leads nowhere."
    assert found.failures["pipe.txt"] == local.NO_FILE
    assert found.bodies["same.txt"] == b"Second."
    assert not [key for key in found.items if key.startswith(("out", "round"))]
    assert b"secret" not in b"".join(found.bodies.values())


async def test_a_pattern_and_a_single_file(folder: Path, tmp_path: Path) -> None:
    found = await read(LocalSource(f"{folder}/**/*.[mp]d*"))
    assert sorted(found.items) == ["a/guide.md", "c/deep/er/x.pdf"]
    assert set(found.failures) == {"lie.pdf"}
    (tmp_path / "outside.md").write_text("secret")
    (folder / "out.md").symlink_to(tmp_path / "outside.md")
    assert (await read(LocalSource(f"{folder}/*.md"))).failures == {"out.md": local.OUTSIDE}
    single = await read(LocalSource(str(folder / "b.txt")))
    assert list(single.items) == ["b.txt"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [("nothing.txt", local.NOT_THERE), ("*.nothing", local.NO_MATCH), ("void", local.NO_FILES)],
)
async def test_nothing_there_is_said(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "void").mkdir()
    found = await read(LocalSource(str(tmp_path / path)))
    assert (list(found.failures.values()), found.items) == ([reason], {})


async def test_a_text_of_two_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    """Sparse: nothing of it is on disk, and reading it would take the test's time."""
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(2 * 1024**3)
    (tmp_path / "small.txt").write_text("fine")
    found = await read(LocalSource(str(tmp_path)))
    assert found.failures == {"huge.txt": "The file is larger than 50 MiB."}
    assert list(found.items) == ["small.txt"]


async def test_only_so_many(folder: Path) -> None:
    for number in range(5):
        (folder / f"{number}.txt").write_text(str(number))
    found = await read(LocalSource(str(folder), SourceLimits(max_items=3)))
    assert len(found.items) == 3
    assert "the rest was left out" in found.failures[""]


async def test_a_run_that_is_left_early_leaves_nothing_open(folder: Path) -> None:
    """A warning of an open file would be an error here."""
    found = LocalSource(str(folder)).items()
    async for item in found:
        getattr(item, "content").close()  # noqa: B009
        break
    await found.aclose()


async def test_keys_and_hashes_are_the_same_the_next_time(folder: Path) -> None:
    one, other = await read(LocalSource(str(folder))), await read(LocalSource(str(folder)))
    assert {key: item.content.content_hash for key, item in one.items.items()} == {
        key: item.content.content_hash for key, item in other.items.items()
    }
