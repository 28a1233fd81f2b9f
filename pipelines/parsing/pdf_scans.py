"""Pages of a PDF that are pictures of text, and the sentences that name them."""

import re
from collections.abc import Sequence

from pypdf import PdfReader

MAX_RANGES = 8
_PAINTS = re.compile(rb"(?<![\w/])(?:Do|BI|[fBb]\*?|F|S|s|sh)(?!\w)")
"""Operators that put a picture, a shape or a shade on the page; letters drawn as shapes are no text either."""


def scanned_pages(reader: PdfReader, texts: Sequence[str]) -> list[int]:
    """Numbers, from 1, of pages that draw something and hold no text. Empty pages are none."""
    return [index + 1 for index, text in enumerate(texts) if not text and _draws(reader, index)]


def _draws(reader: PdfReader, index: int) -> bool:
    try:
        contents = reader.pages[index].get_contents()
        return contents is not None and _PAINTS.search(contents.get_data()) is not None
    except Exception:  # noqa: BLE001 - the library raises whatever a broken page trips over; its text was read before
        return False


def without_text(pages: Sequence[int], of: int) -> str:
    """Of at least one page, where text is not recognised: "Pages 2 and 5–7 of 9 hold no text, …"."""
    return (
        f"{_named(pages, of)} {'holds' if len(pages) == 1 else 'hold'} no text, as scanned pages do; recognise the "
        "text (OCR) and upload the file again, or have the extra `ocr` installed here."
    )


def not_recognised(unread: Sequence[int], silent: Sequence[int], of: int) -> str | None:
    """Where text is recognised: pages that were not reached, and pages on which nothing was found; None for neither."""
    sentences = []
    if unread:
        sentences.append(
            f"{_named(unread, of)} {'is a picture' if len(unread) == 1 else 'are pictures'} beyond what is recognised "
            "of one file; divide it."
        )
    if silent:
        one = len(silent) == 1
        sentences.append(f"On {_named(silent, of).lower()}, {'a picture' if one else 'pictures'}, no text was found.")
    return " ".join(sentences) or None


def _named(pages: Sequence[int], of: int) -> str:
    """ "Pages 2 and 5–7 of 9"."""
    ranges: list[list[int]] = []
    for page in pages:
        if ranges and page == ranges[-1][1] + 1:
            ranges[-1][1] = page
        else:
            ranges.append([page, page])
    named = [str(first) if first == last else f"{first}–{last}" for first, last in ranges[:MAX_RANGES]]
    more = sum(last - first + 1 for first, last in ranges[MAX_RANGES:])
    if more:
        named.append(f"{more} others")
    listed = " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
    return f"{'Page' if len(pages) == 1 else 'Pages'} {listed} of {of}"
