"""A passage in its document: what stands around it, where it is, and where it went when the document was read anew."""

from collections.abc import Iterator
from dataclasses import dataclass

from domain.documents import Block, ParsedDocument


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`before`, `text` and `after` are one piece of the parsed text; `text` begins at `start` and ends at `end`."""

    start: int
    end: int
    before: str
    text: str
    after: str
    page: int | None
    section: str | None


def surroundings(parsed: ParsedDocument, start: int, end: int, around: int) -> Surroundings | None:
    """The span with up to `around` characters on both sides, its page and section; None beyond the text's end."""
    text = parsed.text
    if not 0 <= start < min(end, len(text)):
        return None
    end = min(end, len(text))
    block = block_at(parsed, start)
    return Surroundings(
        start,
        end,
        text[max(0, start - around) : start],
        text[start:end],
        text[end : end + around],
        block.page if block else None,
        block.section if block else None,
    )


def block_at(parsed: ParsedDocument, position: int) -> Block | None:
    """The block that holds the position, or the next one."""
    return next((block for block in parsed.blocks if position < block.end), None)


def located(parsed: ParsedDocument, start: int, quoted: str) -> int | None:
    """Where `quoted` begins: at `start`, or where it is nearest to it; None when the text does not hold it."""
    if not quoted:
        return None
    if parsed.text.startswith(quoted, start):
        return start
    before = parsed.text.rfind(quoted, 0, max(0, start) + len(quoted))
    after = parsed.text.find(quoted, max(0, start))
    found = [place for place in (before, after) if place >= 0]
    return min(found, key=lambda place: abs(place - start)) if found else None


def page_span(parsed: ParsedDocument, page: int) -> tuple[int, int] | None:
    """From the first to the last character of a page; None for one without text."""
    blocks = [block for block in parsed.blocks if block.page == page]
    return (blocks[0].start, blocks[-1].end) if blocks else None


def blocks_within(parsed: ParsedDocument, start: int, end: int) -> Iterator[Block]:
    """The blocks that the span touches, cut to it."""
    for block in parsed.blocks:
        if block.start < end and start < block.end:
            yield Block(max(block.start, start), min(block.end, end), block.page, block.section)
