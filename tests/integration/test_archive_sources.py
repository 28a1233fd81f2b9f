"""Archives as sources: every good file in them, a reason for every bad one, and no way out or up."""

import random
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from pipelines.parsing.registry import MARKDOWN, TEXT
from pipelines.sources import archive_entries, intake
from pipelines.sources.found import SourceLimits
from pipelines.sources.local import LocalSource
from tests.fixtures import files
from tests.fixtures.sources import Read, compressed, read, tar

GOOD = {"a.txt": b"First.", "sub/b.md": b"# Second", "sub/.c.txt": b"hidden", "__MACOSX/a.txt": b"hidden"}


async def opened(tmp_path: Path, name: str, data: bytes, limits: SourceLimits | None = None) -> Read:
    (tmp_path / name).write_bytes(data)
    return await read(LocalSource(str(tmp_path / name), limits))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.zip", files.archive(GOOD)),
        ("x.tar", tar(GOOD)),
        ("x.tar.gz", tar(GOOD, "gz")),
        ("x.tgz", tar(GOOD, "gz")),
        ("x.tar.bz2", tar(GOOD, "bz2")),
        ("x.tar.xz", tar(GOOD, "xz")),
    ],
)
async def test_the_files_of_an_archive(tmp_path: Path, name: str, data: bytes) -> None:
    found = await opened(tmp_path, name, data)
    assert found.bodies == {f"{name}/a.txt": b"First.", f"{name}/sub/b.md": b"# Second"}
    assert found.failures == {}
    item = found.items[f"{name}/sub/b.md"]
    assert (item.name, item.media_type, item.source) == ("b.md", MARKDOWN, f"{tmp_path}/{name}/sub/b.md")


ESCAPES = ["../out.txt", "/etc/out.txt", "a/../../out.txt", "..\\out.txt", "C:\\out.txt", "a/.."]


@pytest.mark.parametrize("kind", ["zip", "tar"])
async def test_names_that_lead_out_are_refused(tmp_path: Path, kind: str) -> None:
    entries = dict.fromkeys(ESCAPES, b"slipped") | {"fine.txt": b"Fine."}
    data = files.archive(entries) if kind == "zip" else tar(entries)
    found = await opened(tmp_path, f"x.{kind}", data)
    assert list(found.bodies.values()) == [b"Fine."]
    assert set(found.failures.values()) == {archive_entries.OUTSIDE}
    assert len(found.failures) == len(ESCAPES)
    assert not (tmp_path / "out.txt").exists()
    assert not (tmp_path.parent / "out.txt").exists()


async def test_links_archives_and_locked_files_within_have_a_reason(tmp_path: Path) -> None:
    inner = files.archive({"deep.txt": b"deep"})
    found = await opened(
        tmp_path,
        "x.tar",
        tar({"in.zip": inner, "in.tgz": tar(GOOD, "gz"), "a.txt": b"A"}, links={"l.txt": "/etc/passwd"}),
    )
    assert found.bodies == {"x.tar/a.txt": b"A"}
    assert found.failures == {
        "x.tar/in.zip": intake.NESTED,
        "x.tar/in.tgz": intake.NESTED,
        "x.tar/l.txt": archive_entries.LINK,
    }
    locked = bytearray(files.archive({"a.txt": b"A", "b.txt": b"B"}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(mark) + offset] |= 1
    found = await opened(tmp_path, "locked.zip", bytes(locked))
    assert found.failures == {"locked.zip/a.txt": archive_entries.PROTECTED}
    assert found.bodies == {"locked.zip/b.txt": b"B"}


async def test_a_damaged_file_fails_alone(tmp_path: Path) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.txt", b"A" * 1000)
        archive.writestr("b.txt", b"B" * 1000)
    found = await opened(tmp_path, "x.zip", out.getvalue().replace(b"A" * 1000, b"A" * 999 + b"X"))
    assert found.failures == {"x.zip/a.txt": "The file is damaged within the archive."}
    assert found.bodies == {"x.zip/b.txt": b"B" * 1000}


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
async def test_a_cut_tar_keeps_what_came_before(tmp_path: Path, kind: str) -> None:
    noise = random.Random(1).randbytes(200_000)
    whole = tar(
        {"a.txt": b"First.", "b.txt": b"\n".join(noise[n : n + 9].hex().encode() for n in range(0, 99_000, 9))}, kind
    )
    found = await opened(tmp_path, f"x.tar{'.' if kind else ''}{kind}", whole[: len(whole) * 3 // 4])
    assert found.failures.pop(f"x.tar{'.' if kind else ''}{kind}") in (archive_entries.CUT, archive_entries.DAMAGED)
    assert set(found.failures.values()) <= {"The file is damaged within the archive."}
    assert all(body == b"First." for body in found.bodies.values())
    if kind != "bz2":  # One block of it holds the whole archive.
        assert len(found.bodies) == 1


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.xz"])
async def test_noise_with_an_archives_first_bytes(tmp_path: Path, name: str) -> None:
    heads = {
        "x.zip": b"PK\x03\x04",
        "x.tar": bytes(257) + b"ustar",
        "x.tar.gz": b"\x1f\x8b\x08",
        "x.tar.xz": b"\xfd7zXZ\x00",
    }
    found = await opened(tmp_path, name, heads[name] + b"\xa7\x31" * 3_000)
    assert found.failures == {name: archive_entries.DAMAGED}


async def test_bombs_do_not_go_off(tmp_path: Path) -> None:
    zeros = bytes(80 * 1024 * 1024)
    for name, data in {
        "x.zip": files.archive({"big.txt": zeros}),
        "x.tar.gz": tar({"big.txt": zeros}, "gz"),
        "x.tar.xz": tar({"big.txt": zeros}, "xz"),
    }.items():
        found = await opened(tmp_path, name, data, SourceLimits(max_bytes=1024 * 1024))
        assert found.items == {}
        assert found.failures[name] == archive_entries.OVERGROWN
    many = {f"{number}.txt": b"x" for number in range(60)}
    found = await opened(tmp_path, "many.zip", files.archive(many), SourceLimits(archive_entries=50))
    assert (found.items, found.failures) == ({}, {"many.zip": archive_entries.OVERGROWN})
    found = await opened(tmp_path, "many.tar", tar(many), SourceLimits(archive_entries=50))
    assert (len(found.items), found.failures) == (50, {"many.tar": archive_entries.OVERGROWN})


async def test_a_file_that_is_too_large_fails_alone(tmp_path: Path) -> None:
    entries = {"big.txt": b"word " * 1_000, "small.txt": b"Small."}
    for name, data in {"x.zip": files.archive(entries), "x.tar.gz": tar(entries, "gz")}.items():
        found = await opened(tmp_path, name, data, SourceLimits(max_bytes=1_000))
        assert found.bodies == {f"{name}/small.txt": b"Small."}
        assert found.failures == {f"{name}/big.txt": "The file is larger than 0.000954 MiB."}


async def test_names_that_come_twice_and_names_of_no_encoding(tmp_path: Path) -> None:
    data = files.archive({"a.txt": b"first", "b.txt": b"second", "c.txt": b"third"})
    data = data.replace(b"b.txt", b"a.txt").replace(b"c.txt", b"\xff.txt")
    found = await opened(tmp_path, "x.zip", data)
    assert list(found.bodies.values()) == [b"first", b"third"]
    assert found.failures == {"x.zip/a.txt#2": archive_entries.TWICE}


async def test_wrong_endings(tmp_path: Path) -> None:
    assert "archive" in (await opened(tmp_path, "x.txt", files.archive(GOOD))).failures["x.txt"]
    assert "archive" in (await opened(tmp_path, "y.txt", compressed(b"text", "gz"))).failures["y.txt"]
    assert (await opened(tmp_path, "z.zip", b"plain text")).failures["z.zip"].startswith("Files named .zip")
    docx = await opened(tmp_path, "d.zip", files.docx([(1, "H", ["p"])]))
    assert list(docx.failures) == ["d.zip"]
    plain = await opened(tmp_path, "x.zip.txt", b"plain text")
    assert plain.items["x.zip.txt"].media_type == TEXT
