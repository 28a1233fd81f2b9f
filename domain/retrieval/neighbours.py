"""Expansion of passages by the chunks beside them; offsets in the parsed text stay exact."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from domain.documents import Passage
from domain.retrieval.result import ChunkKey, Fate, Found

MAX_GAP = 100
"""Characters of white space that may lie between two chunks that are joined."""


def beside(found: Iterable[Found], reach: int) -> set[ChunkKey]:
    """The keys of all chunks that could go along with these."""
    wanted: set[ChunkKey] = set()
    for one in found:
        document, ordinal = one.key
        wanted |= {(document, at) for at in range(max(0, ordinal - reach), ordinal + reach + 1)}
    return wanted


def expanded(
    kept: Sequence[Found], chunks: Mapping[ChunkKey, Passage], reach: int
) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    """Each of `kept` with up to `reach` of `chunks` on either side, and those that became part of a better one.

    Neighbours are of the same page and section; passages that come to touch are one, in the place of the best.
    """
    groups: list[tuple[Found, set[int]]] = []
    merged: list[Found] = []
    for found in kept:
        reached = set(_reached(found.passage, chunks, reach))
        touching = [group for group in groups if _touch(group, found, reached, chunks)]
        if not touching:
            groups.append((found, reached))
            continue
        best, ordinals = touching[0]
        ordinals |= reached
        merged.append(replace(found, fate=Fate.MERGED, because_of=best.key))
        for group in touching[1:]:
            # What came between them has joined them.
            groups.remove(group)
            ordinals |= group[1]
            merged.append(replace(group[0], fate=Fate.MERGED, because_of=best.key))
    return tuple(_joined(found, ordinals, chunks) for found, ordinals in groups), tuple(merged)


def _reached(passage: Passage, chunks: Mapping[ChunkKey, Passage], reach: int) -> Iterable[int]:
    yield passage.ordinal
    for step in (-1, 1):
        last = passage
        for distance in range(1, reach + 1):
            key = (passage.document_id, passage.ordinal + step * distance)
            chunk = chunks.get(key)
            if chunk is None or not (_follow(chunk, last) if step < 0 else _follow(last, chunk)):
                break
            yield chunk.ordinal
            last = chunk


def _follow(left: Passage, right: Passage) -> bool:
    return (left.page, left.section) == (right.page, right.section) and right.start - left.end <= MAX_GAP


def _touch(group: tuple[Found, set[int]], found: Found, reached: set[int], chunks: Mapping[ChunkKey, Passage]) -> bool:
    document = group[0].passage.document_id
    if document != found.passage.document_id:
        return False
    if group[1] & reached:
        return True
    for left, right in ((group[1], reached), (reached, group[1])):
        if max(left) + 1 == min(right):
            return _follow(
                chunks.get((document, max(left)), found.passage), chunks.get((document, min(right)), found.passage)
            )
    return False


def _joined(found: Found, ordinals: set[int], chunks: Mapping[ChunkKey, Passage]) -> Found:
    order = sorted(ordinals)
    document, own = found.key
    parts = [found.passage if at == own else chunks[document, at] for at in order]
    text, end = parts[0].text, parts[0].end
    for part in parts[1:]:
        if part.start >= end:
            text += _white_space(part.start - end) + part.text
        else:
            text += part.text[end - part.start :]
        end = max(end, part.end)
    passage = replace(found.passage, start=parts[0].start, end=end, text=text)
    return replace(found, passage=passage, ordinals=tuple(order))


def _white_space(length: int) -> str:
    """As much as lies between two chunks: chunks hold every visible character, so that offsets behind it are right."""
    return " " if length == 1 else "\n" * length
