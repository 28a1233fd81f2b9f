"""Files that mean harm: names that walk out, types that lie, archives and documents that grow, entities that read."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from domain.documents import IngestionFailure
from pipelines.parsing import sandbox
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.registry import DOCX, HTML, MARKDOWN, PDF, TEXT
from tests.fixtures import bombs, files
from tests.fixtures.gateway import GatewayRig

NAMES = [
    ("../../../etc/passwd.txt", "passwd.txt"),
    ("..\\..\\windows\\win.ini.txt", "win.ini.txt"),
    ("/etc/cron.d/a.txt", "a.txt"),
    ("C:\\boot.txt", "boot.txt"),
    ("\\\\server\\share\\a.txt", "a.txt"),
    ("....//....//a.txt", "a.txt"),
    ("..", "document"),
    (".", "document"),
    ("...", "document"),
    ("/", "document"),
    (".txt", "txt"),
    ("a.txt/", "document"),
    ("%2e%2e%2fa.txt", "%2e%2e%2fa.txt"),
    ("a\u202etxt.exe.txt", "atxt.exe.txt"),
    ("a\u2066b.txt", "ab.txt"),
    ("~/.ssh/authorized_keys.txt", "authorized_keys.txt"),
    ("$(touch x).txt", "$(touch x).txt"),
    ("a;rm -rf b.txt", "a;rm -rf b.txt"),
    ("<img src=x onerror=alert(1)>.txt", "<img src=x onerror=alert(1)>.txt"),
    ("x" * 400 + ".txt", "x" * 251 + ".txt"),
]


@pytest.mark.parametrize(("name", "shown"), NAMES)
async def test_names_stay_names(rig: GatewayRig, tmp_path: Path, name: str, shown: str) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    before = set(tmp_path.parent.rglob("*"))
    answer = await tenant.post(f"/knowledgebase/{bot}/upload", files={"files": (name, b"Some text.")})
    assert answer.status_code == 202, answer.text
    [document] = answer.json()["documents"]
    assert document["name"] == shown
    made = [path for path in set(tmp_path.parent.rglob("*")) - before if path.is_file()]
    assert [str(path.relative_to(tmp_path)) for path in made] == [
        f"objects/{tenant.grant['tenant']['id']}/blobs/{document['id']}/original"
    ]


@pytest.mark.parametrize("escape", ["a.txt\r\nContent-Type: text/html", "a.txt\x00.exe", 'a".txt', "a\n.txt"])
async def test_names_cannot_end_their_header(rig: GatewayRig, escape: str) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    body = (
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="'
        + escape.encode()
        + b'"\r\n\r\nSome text.\r\n--b--\r\n'
    )
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await tenant.post(f"/knowledgebase/{bot}/upload", content=body, headers=form)
    assert answer.status_code in (202, 400, 415)
    if answer.status_code == 202:
        [document] = answer.json()["documents"]
        assert not set(document["name"]) & set("\r\n\x00")
        assert document["media_type"] == "text/plain"


LIES: list[tuple[str, bytes, str, int | str]] = [
    ("a.pdf", b"<html><script>alert(1)</script>", "application/pdf", 415),
    ("a.txt", files.pdf(["x"]), "text/plain", 415),
    ("a.html", files.pdf(["x"]), "text/html", 415),
    ("a.docx", files.pdf(["x"]), DOCX, 415),
    ("a.pdf", files.docx([(1, "H", ["p"])]), "application/pdf", 415),
    ("a.txt", b"MZ\x90\x00" + bytes(100), "text/plain", 415),
    ("a.txt", b"\x7fELF" + bytes(100), "text/plain", 415),
    ("a.md", b"\x89PNG\r\n\x1a\n" + bytes(100), "text/markdown", 415),
    ("a.txt", b"GIF89a" + bytes(100), "text/plain", 415),
    ("a.docx", files.archive({"evil.exe": b"MZ"}), DOCX, 415),
    ("a.docx", files.archive({"xl/workbook.xml": b"<a/>"}), DOCX, 415),
    ("a.exe", b"plain text", "text/plain", 415),
    ("a.svg", b"<svg onload=alert(1)>", "image/svg+xml", 415),
    ("a.php", b"<?php system($_GET[0]);", "text/plain", 415),
    ("a.txt.exe", b"plain text", "text/plain", 415),
    ("a.zip", files.archive({"a": b"b"}), "application/zip", 415),
    ("a.txt", b"<!doctype html><script>alert(1)</script>", "text/plain", "text/html"),
    ("a.txt", b"plain text", "application/pdf", "text/plain"),
    ("a.txt", b"plain text", "image/png", "text/plain"),
    ("a.txt", b"plain text", "text/html; charset=" + "x" * 300, "text/plain"),
    ("page", b"plain text", "text/markdown", "text/markdown"),
]


@pytest.mark.parametrize(("name", "content", "declared", "expected"), LIES)
async def test_the_content_decides_and_not_what_is_said_of_it(
    rig: GatewayRig, name: str, content: bytes, declared: str, expected: int | str
) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    answer = await tenant.post(f"/knowledgebase/{bot}/upload", files={"files": (name, content, declared)})
    if isinstance(expected, int):
        assert answer.status_code == expected, answer.text
        assert (await tenant.get(f"/knowledgebase/{bot}/documents")).json()["items"] == []
    else:
        assert answer.json()["documents"][0]["media_type"] == expected


BOMBS: list[tuple[Callable[[], bytes], str]] = [
    (files.zip_bomb_docx, DOCX),
    (files.many_entries_docx, DOCX),
    (bombs.lying_sizes_docx, DOCX),
    (bombs.nested_zip, DOCX),
    (bombs.billion_laughs, DOCX),
    (lambda: bombs.billion_laughs('<!ENTITY x SYSTEM "file:///etc/passwd">'), DOCX),
    (bombs.deep_docx, DOCX),
    (bombs.many_attributes_docx, DOCX),
    (bombs.flate_bomb, PDF),
    (lambda: bombs.flate_bomb(3), PDF),
    (bombs.endless_pages, PDF),
    (bombs.self_calling_form, PDF),
    (bombs.nested_arrays, PDF),
    (lambda: bombs.pdf_with_content(b"<</Length 9999999999>>\nstream\nendstream"), PDF),
    (lambda: b"<div>" * 400_000, HTML),
    (lambda: b"<!doctype html>" + b"<a " + b"x " * 500_000 + b">", HTML),
    (lambda: b"&" * 1_000_000, HTML),
    (lambda: b"[" * 100_000, MARKDOWN),
    (lambda: b"> " * 50_000 + b"x", MARKDOWN),
    (lambda: b"*a " * 100_000, MARKDOWN),
    (lambda: b"\xff\xfe" + b"\x00\xd8" * 100_000, TEXT),
    (lambda: b"a" * 20_000_000, TEXT),
]
LIMITS = ParseLimits(cpu_seconds=10, wall_seconds=60.0, memory_bytes=768 * 1024 * 1024)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("make", "media_type"), BOMBS)
def test_a_bomb_fails_alone_or_is_read(make: Callable[[], bytes], media_type: str) -> None:
    """Whatever becomes of the file, this process goes on: only a sentence or a bounded document comes back."""
    try:
        parsed = sandbox.parse(make(), "bomb", media_type, LIMITS)
    except IngestionFailure:
        return
    assert len(parsed.text) <= LIMITS.output_bytes
    assert "root:" not in parsed.text
    assert parsed.text.count("lol") < 100_000


def test_ten_thousand_pages_are_read() -> None:
    parsed = sandbox.parse(bombs.many_pages(), "long.pdf", PDF)
    assert parsed.pages == len(parsed.blocks) == 10_000
    assert parsed.blocks[-1].page == 10_000


async def test_an_upload_without_end_is_refused_early(rig: GatewayRig) -> None:
    """Two gigabytes are announced by nobody and never sent: the answer comes after a small part of them."""
    tenant = await rig.register()
    bot = await tenant.new_bot()
    piece, sent = b"word " * 13_107, 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="big.txt"\r\n\r\n'
        while sent < 2 * 1024**3:
            sent += len(piece)
            yield piece

    form = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await tenant.post(f"/knowledgebase/{bot}/upload", content=body(), headers=form)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert sent < 64 * 1024 * 1024
    assert (await tenant.get(f"/knowledgebase/{bot}/documents")).json()["items"] == []


def test_an_archive_writes_nothing_beside_itself() -> None:
    before = {path.name for path in Path("/tmp").glob("loquent-slip*")}
    parsed = sandbox.parse(bombs.zip_slip(), "slip.docx", DOCX)
    assert parsed.text == "Hello."
    assert {path.name for path in Path("/tmp").glob("loquent-slip*")} == before


@pytest.mark.parametrize(
    "entity",
    ["file:///etc/passwd", "http://127.0.0.1:1/x", "https://example.com/x.dtd", "netdoc:///etc/passwd", "/etc/passwd"],
)
@pytest.mark.parametrize("kind", ["<!ENTITY leak SYSTEM '{}'>", "<!ENTITY % p SYSTEM '{}'>%p;<!ENTITY leak 'x'>"])
def test_outside_entities_bring_nothing(entity: str, kind: str) -> None:
    data = bombs.docx_with(
        f'<?xml version="1.0"?><!DOCTYPE x [{kind.format(entity)}]>'
        f'<w:document xmlns:w="{bombs.W}"><w:body><w:p><w:r><w:t>A &leak; B</w:t></w:r></w:p></w:body></w:document>'
    )
    try:
        text = sandbox.parse(data, "leak.docx", DOCX).text
    except IngestionFailure:
        return
    assert "root:" not in text
