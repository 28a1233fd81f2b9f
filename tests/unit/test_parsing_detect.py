"""The media type of an upload comes from its content, then its name; what does not fit is refused with a sentence."""

import pytest

from domain.errors import Unprocessable, UnsupportedMedia
from pipelines.parsing.detect import detect
from pipelines.parsing.registry import CSV, DOCX, EML, HTML, JSON, MARKDOWN, PDF, PPTX, TEXT, XLSX
from tests.fixtures import files


@pytest.mark.parametrize(
    ("data", "name", "declared", "expected"),
    [
        (files.pdf(["x"]), "a.pdf", None, PDF),
        (b"\n\njunk %PDF-1.4", "A.PDF", "text/plain", PDF),
        (files.pdf(["x"]), "no-extension", None, PDF),
        (files.docx([(1, "H", ["p"])]), "a.docx", "application/octet-stream", DOCX),
        (files.xlsx({"A": [["x"]]}), "a.xlsx", None, XLSX),
        (files.xlsx({"A": [["x" * 90, row] for row in range(9_000)]}), "big", None, XLSX),
        (files.pptx([("T", ["x"], "")]), "a.pptx", None, PPTX),
        (b"a,b\n1,2", "a.csv", None, CSV),
        (b"<html>,b\n1,2", "a.tsv", None, CSV),
        (b"a,b\n1,2", "table", "text/csv", CSV),
        (b'{"a": 1}', "a.json", None, JSON),
        (b"From: a@b.c\n\n<html>x", "a.eml", None, EML),
        (b"<!doctype HTML><p>x", "a.html", None, HTML),
        (b"\xef\xbb\xbf  <!-- note --> <html lang=en>", "page", None, HTML),
        (b"<!DOCTYPE html><html>", "saved.txt", None, HTML),
        (b"<p>fragment", "a.htm", None, HTML),
        (b"# Title", "READ.me.md", None, MARKDOWN),
        (b"<p align=center>badge</p>\n\n# Title", "a.markdown", None, MARKDOWN),
        (b"plain", "a.txt", "application/pdf", TEXT),
        (b"plain", "NOTES", None, TEXT),
        (b"# head", "NOTES", "text/markdown; charset=utf-8", MARKDOWN),
        ("Grüße".encode("utf-16"), "a.txt", None, TEXT),
        ("Grüße".encode("latin-1"), "a.txt", None, TEXT),
        (b"plain", "dir.pdf/file.txt", None, TEXT),
    ],
)
def test_supported_files_are_recognised(data: bytes, name: str, declared: str | None, expected: str) -> None:
    assert detect(data, name, declared) == expected


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"just text", "a.pdf", "named .pdf, but its content is something else"),
        (b"just text", "a.docx", "named .docx, but its content is something else"),
        (files.pdf(["x"]), "a.docx", "named .docx, but its content is a PDF"),
        (files.docx([(1, "H", ["p"])]), "a.txt", "named .txt, but its content is a Word document"),
        (files.archive({"a.txt": b"x"}), "a.docx", "an archive, not an Office document"),
        (files.archive({"[Content_Types].xml": b"x", "xl/workbook.xml": b"y"}), "a.docx", "a spreadsheet"),
        (
            files.archive({"[Content_Types].xml": b"x", "word/a.xml": b"y", "word/xl/b": b"z"}),
            "a.xlsx",
            "a Word document",
        ),
        (files.archive({"mimetype": b"application/epub+zip", "x.html": b"x"}), "a.epub", "an archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "a.docx", "protected by a password"),
        (b"\x89PNG\r\n", "a.png", "an image"),
        (b"{\\rtf1 x}", "a.txt", "an RTF file"),
        (b"just text", "a.xlsx", "named .xlsx, but its content is something else"),
        (bytes(range(256)) * 4, "a.csv", "content is something else"),
        (files.pdf(["x"]), "a.exe", "named .exe are not supported"),
        (b"text\x00with NUL", "a.txt", "content is something else"),
        (bytes(range(256)) * 4, "blob", "not supported"),
    ],
)
def test_other_files_are_refused_with_a_sentence(data: bytes, name: str, message: str) -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        detect(data, name, None)
    assert message in caught.value.message
    assert caught.value.message.endswith(".")


def test_an_empty_file_is_said_to_be_empty() -> None:
    with pytest.raises(Unprocessable, match="The file is empty"):
        detect(b"", "a.pdf", "application/pdf")


def test_hostile_comments_are_sniffed_in_linear_time() -> None:
    assert detect(b"<!---->" * 9_000, "a.md", None) == MARKDOWN
    assert detect(b"<!--" * 16_000, "a.md", None) == MARKDOWN
