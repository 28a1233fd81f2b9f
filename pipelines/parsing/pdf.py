"""PDF: text page by page, wrapped lines rejoined into paragraphs, tables as rows, sections from the bookmarks."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import Any

from pypdf import PdfReader
from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

from domain.documents import IngestionFailure, ParsedDocument, PicturesOnly, Recognition
from pipelines.parsing.assembly import Assembly, SectionPath, tidy
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.pdf_scans import not_recognised, scanned_pages, without_text
from pipelines.parsing.pdf_tables import Table, may_have_table, with_tables
from pipelines.parsing.recognition import mean_confidence, recognise
from pipelines.parsing.reflow import Reflow, usual_width
from pipelines.parsing.rows import add_rows

NOT_PDF = "The file is not a PDF."
EMPTY = "The PDF has no pages."
NO_TEXT = "The PDF holds no text."
PROTECTED = "The PDF is protected by a password."
INCOMPLETE = "The PDF is incomplete: its end is missing."
DAMAGED = "The PDF is damaged and cannot be read."
TOO_COMPLEX = "The PDF is too complex to be read."
TOO_LONG = "The PDF holds more text than can be processed."

HEADER_WITHIN = 1024
TRAILER_WITHIN = 4096
MAX_BOOKMARKS = 5_000
MAX_TABLE_PAGES = 500
"""Looking where words stand takes longer than reading them."""

_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}

Bookmark = tuple[int, str]
"""Depth, from 1, and title."""


def parse(data: bytes, limits: ParseLimits) -> ParsedDocument:
    if b"%PDF-" not in data[:HEADER_WITHIN]:
        raise IngestionFailure(NOT_PDF)
    if b"startxref" not in data[-TRAILER_WITHIN:]:
        raise IngestionFailure(INCOMPLETE)
    reader = _open(data)
    texts = list(_page_texts(reader, limits.output_bytes))
    if not texts:
        raise IngestionFailure(EMPTY)
    notice, recognition = _recognised(data, scanned_pages(reader, texts), texts, limits)
    bookmarks = _bookmarks(reader)
    reflow = Reflow(texts)
    assembly, sections = Assembly(), SectionPath()
    for index, lines in enumerate(_pages_with_tables(reader, texts)):
        _add_page(lines, index + 1, bookmarks.get(index, []), reflow, assembly, sections)
    if notice and not assembly:
        raise PicturesOnly(notice)
    document = assembly.document(empty=NO_TEXT, pages=len(texts), language=_language(reader))
    return replace(document, notice=notice, recognition=recognition)


def _open(data: bytes) -> PdfReader:
    try:
        reader = PdfReader(BytesIO(data))
        # Many files are only restricted in printing and open with an empty password.
        if reader.is_encrypted and not reader.decrypt(""):
            raise IngestionFailure(PROTECTED)
    except (IngestionFailure, MemoryError):
        raise
    except (DependencyError, NotImplementedError) as error:
        raise IngestionFailure(PROTECTED) from error
    except LimitReachedError as error:
        raise IngestionFailure(TOO_COMPLEX) from error
    except Exception as error:  # The library raises whatever a broken file trips over: KeyError, TypeError and others.
        raise IngestionFailure(DAMAGED) from error
    return reader


def _page_texts(reader: PdfReader, max_characters: int) -> Iterator[str]:
    """Tidy text of each page. A page that cannot be read fails the file, for its content would be missed silently."""
    try:
        count = len(reader.pages)
    except MemoryError:
        raise
    except Exception as error:
        raise IngestionFailure(DAMAGED) from error
    total = 0
    for index in range(count):
        try:
            text = reader.pages[index].extract_text()
        except MemoryError:
            raise
        except LimitReachedError as error:
            raise IngestionFailure(f"Page {index + 1} of the PDF is too complex to be read.") from error
        except Exception as error:
            raise IngestionFailure(f"Page {index + 1} of the PDF is damaged and cannot be read.") from error
        total += len(text)
        if total > max_characters:
            raise IngestionFailure(TOO_LONG)
        yield tidy(text.translate(_LIGATURES))


def _recognised(
    data: bytes, scanned: Sequence[int], texts: list[str], limits: ParseLimits
) -> tuple[str | None, Recognition | None]:
    """Put the text of scanned pages into `texts`, as far as the limits allow; what there is to say about it."""
    if not scanned or not limits.recognise_pages:
        return without_text(scanned, len(texts)) if scanned else None, None
    pages = recognise(data, scanned, limits)
    for number, page in pages.items():
        texts[number - 1] = tidy(page.text)
    read = [page for page in pages.values() if page.text]
    unread = [number for number in scanned if number not in pages]
    notice = not_recognised(unread, [number for number, page in pages.items() if not page.text], len(texts))
    return notice, Recognition(len(read), round(mean_confidence(read), 4)) if read else None


def _pages_with_tables(reader: PdfReader, texts: Sequence[str]) -> Iterator[list[str | Table]]:
    """Lines and tables of each page. What goes wrong with looking for tables only costs them, never the file."""
    looked = 0
    for index, text in enumerate(texts):
        layout = ""
        if looked < MAX_TABLE_PAGES and may_have_table(text):
            looked += 1
            with suppress(Exception):
                layout = reader.pages[index].extract_text(extraction_mode="layout")
        yield with_tables(text, layout.translate(_LIGATURES)) if layout else list(text.split("\n"))


def _language(reader: PdfReader) -> str | None:
    try:
        return str(reader.root_object.get("/Lang", ""))
    except Exception:  # noqa: BLE001 - as everything that the library does with a broken file
        return None


def _bookmarks(reader: PdfReader) -> dict[int, list[Bookmark]]:
    """Bookmarks by page index, in order. A broken outline only costs the section names, never the file."""
    found: dict[int, list[Bookmark]] = {}
    try:
        numbers = {page.indirect_reference.idnum: i for i, page in enumerate(reader.pages) if page.indirect_reference}
        pending: list[tuple[int, Any]] = [(0, reader.outline)]
        for _ in range(MAX_BOOKMARKS):
            if not pending:
                break
            depth, entry = pending.pop()
            if isinstance(entry, list):
                pending.extend((depth + 1, child) for child in reversed(entry))
                continue
            index = numbers.get(getattr(entry.page, "idnum", -1))
            if index is not None and entry.title:
                found.setdefault(index, []).append((depth, str(entry.title)))
    except (PyPdfError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    return found


def _add_page(
    lines: Sequence[str | Table],
    page: int,
    bookmarks: list[Bookmark],
    reflow: Reflow,
    assembly: Assembly,
    sections: SectionPath,
) -> None:
    """A bookmark takes effect at the line that shows its title, or after the page where no line does."""
    pending = [(depth, title, _letters(title)) for depth, title in bookmarks]
    run: list[str] = []
    width = usual_width([line for line in lines if isinstance(line, str)])

    def add_run() -> None:
        for paragraph in reflow.paragraphs(run, width):
            assembly.add(paragraph, page=page, section=sections.path)
        run.clear()

    for line in lines:
        if isinstance(line, Table):
            add_run()
            add_rows(line.rows, assembly, sections.path, page=page)
            continue
        reached = _reached(line, [letters for _, _, letters in pending])
        if reached:
            add_run()
            for depth, title, _ in pending[:reached]:
                sections.enter(depth, title)
            pending = pending[reached:]
            assembly.add(line, page=page, section=sections.path)
        else:
            run.append(line)
    add_run()
    for depth, title, _ in pending:
        sections.enter(depth, title)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def _reached(line: str, titles: Sequence[str]) -> int:
    """How many of the pending bookmarks a line that shows one of their titles takes us past; 0 for other lines."""
    letters = _letters(line) if titles and len(line) <= 300 else ""
    for number, title in enumerate(titles[:20], start=1):
        # The line may carry the section number that the bookmark leaves out, or the other way round.
        alike = letters.endswith(title) or title.endswith(letters)
        if alike and min(len(letters), len(title)) >= 3 and abs(len(letters) - len(title)) <= 6:
            return number
    return 0
