"""Chunking: a parsed document becomes passages that fit the embedding model and keep to its structure."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from domain.chunking_config import ChunkingConfig, ChunkingStrategy
from domain.documents import Block, Chunk, ParsedDocument

CHARACTERS_PER_TOKEN = 12
"""A piece costs at least one token per so many characters: tokenizers count a long unknown word as a single token."""
SMALL = 8
"""A chunk below one eighth of the budget may go on into the next section, so that a lone heading is no chunk."""

# A sentence ends at its mark and the quotes or brackets behind it, before white space and something that can begin
# the next one. All quantifiers are possessive: the text is hostile and the scan must stay linear.
_SENTENCE_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s++(?![a-z]))|[。！？]++[」』”’）]*+|\n[^\S\n]*+\n",
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|[Dd]r|[Mm]rs?|[Mm]s|[Pp]rof|[Ss]t|[Nn]o|[Ff]ig|[Ee]q|[Vv]ol|vs|cf|ca|approx|[Ss]ec|[Pp]p?|al"
    r"|e\.g|i\.e|[Zz]\.\s?[Bb]))\.\Z"
)
_LOOK_BACK = 10
_WORD = re.compile(r"\S+")
_LINE = re.compile(r"[^\n]+")


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is never divided again: a sentence, or a part of one that is too long."""

    start: int
    end: int
    cost: int
    page: int | None
    section: str | None


@dataclass(frozen=True, slots=True)
class _Budget:
    text: str
    count: Callable[[str], int]
    tokens: int
    grain: int
    """Size, in tokens, of the parts of a sentence that has to be divided."""

    def cost(self, start: int, end: int) -> int:
        return max(self.count(self.text[start:end]), -(-(end - start) // CHARACTERS_PER_TOKEN))


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What a chunk keeps to."""

    blocks: bool
    sections: bool
    pages: bool

    def section_between(self, one: _Piece, other: _Piece) -> bool:
        return self.sections and one.section != other.section

    def page_between(self, one: _Piece, other: _Piece) -> bool:
        return self.pages and one.page != other.page


def cut(parsed: ParsedDocument, count: Callable[[str], int], config: ChunkingConfig) -> list[Chunk]:
    """The chunks of a document as a bot's settings say; see `chunk`."""
    return chunk(
        parsed,
        count,
        max_tokens=config.max_tokens,
        overlap_tokens=config.overlap_tokens,
        fixed=config.strategy is ChunkingStrategy.FIXED,
        respect_sections=config.respect_sections,
        respect_pages=config.respect_pages,
    )


def chunk(
    parsed: ParsedDocument,
    count: Callable[[str], int],
    *,
    max_tokens: int = 200,
    overlap_tokens: int = 30,
    fixed: bool = False,
    respect_sections: bool = True,
    respect_pages: bool = True,
) -> list[Chunk]:
    """Passages of at most `max_tokens` in reading order; together they hold every visible character.

    Unless told otherwise a chunk never crosses a page, and crosses into another section only while it is very small.
    Neighbours overlap by whole sentences of up to `overlap_tokens`, `fixed` ones by words. `count` gives the tokens of
    a text without the model's special tokens; it is called about once per sentence (`fixed`: word), and texts joined
    by white space must not count more together than apart. A single character that counts more than `max_tokens` is a
    chunk all the same.
    """
    if not 0 <= overlap_tokens < max_tokens:
        raise ValueError("the overlap must be smaller than a chunk")
    budget = _Budget(parsed.text, count, max_tokens, max(1, min(overlap_tokens or max_tokens, max_tokens // SMALL)))
    packer = _Packer(parsed.text, max_tokens, overlap_tokens, _Bounds(not fixed, respect_sections, respect_pages))
    for block in parsed.blocks:
        packer.add(list(_words(block, budget) if fixed else _pieces(block, budget)))
    return packer.finish()


class _Packer:
    """Fills one chunk at a time; pieces carried over for overlap are never a chunk of their own."""

    def __init__(self, text: str, max_tokens: int, overlap_tokens: int, bounds: _Bounds) -> None:
        self._text = text
        self._bounds = bounds
        self._max = max_tokens
        self._overlap = overlap_tokens
        self._chunks: list[Chunk] = []
        self._pieces: list[_Piece] = []
        self._cost = 0
        self._carried = 0
        """How many of the first pieces are in the previous chunk already."""

    def add(self, pieces: list[_Piece]) -> None:
        """Take the pieces of one block, which share page and section."""
        if not pieces:
            return
        if self._pieces:
            last, total = self._pieces[-1], sum(piece.cost for piece in pieces)
            apart = self._bounds.section_between(last, pieces[0])
            if self._bounds.page_between(last, pieces[0]) or (apart and self._cost * SMALL >= self._max):
                self._close(overlap=False)
            elif self._bounds.blocks and self._cost * 2 >= self._max and self._cost + total > self._max >= total:
                self._close(overlap=not apart)
                self._make_room(total)
        for piece in pieces:
            if self._pieces and self._cost + piece.cost > self._max:
                self._close(overlap=not self._bounds.section_between(self._pieces[-1], piece))
                self._make_room(piece.cost)
            self._pieces.append(piece)
            self._cost += piece.cost

    def finish(self) -> list[Chunk]:
        self._close(overlap=False)
        return self._chunks

    def _close(self, *, overlap: bool) -> None:
        """Make a chunk of the pieces, if any of them is new, and keep its last sentences where they overlap."""
        pieces, kept, cost = self._pieces, [], 0
        if len(pieces) > self._carried:
            fresh = pieces[self._carried :]
            start, end = pieces[0].start, pieces[-1].end
            self._chunks.append(
                Chunk(
                    ordinal=len(self._chunks),
                    start=start,
                    end=end,
                    text=self._text[start:end],
                    page=pieces[0].page,
                    section=_main_section(fresh),
                )
            )
        if overlap:
            for piece in reversed(pieces[1:]):
                if cost + piece.cost > self._overlap or self._bounds.section_between(piece, pieces[-1]):
                    break
                kept.append(piece)
                cost += piece.cost
        self._pieces, self._cost, self._carried = kept[::-1], cost, len(kept)

    def _make_room(self, cost: int) -> None:
        """Drop carried sentences until a piece of `cost` fits."""
        while self._pieces and self._cost + cost > self._max:
            self._cost -= self._pieces.pop(0).cost
        self._carried = len(self._pieces)


def _main_section(pieces: list[_Piece]) -> str | None:
    """The section that most of the chunk belongs to; the first of equals."""
    weights: dict[str | None, int] = {}
    for piece in pieces:
        weights[piece.section] = weights.get(piece.section, 0) + piece.cost
    return max(weights, key=lambda section: weights[section])


def _pieces(block: Block, budget: _Budget) -> Iterator[_Piece]:
    """Sentences of a block; one that exceeds the budget falls into lines, a line into groups of words."""
    for start, end in _sentences(budget.text, block.start, block.end):
        cost = budget.cost(start, end)
        if cost <= budget.tokens:
            yield _Piece(start, end, cost, block.page, block.section)
            continue
        for line in _LINE.finditer(budget.text, start, end):
            for span in _trimmed(budget.text, line.start(), line.end()):
                for part_start, part_end, part_cost in _parts(*span, budget):
                    yield _Piece(part_start, part_end, part_cost, block.page, block.section)


def _words(block: Block, budget: _Budget) -> Iterator[_Piece]:
    """Words of a block; a longer one falls into parts of the grain, for a text without spaces overlaps too."""
    for word in _WORD.finditer(budget.text, block.start, block.end):
        for start, end, cost in _cut(word.start(), word.end(), budget, budget.grain):
            yield _Piece(start, end, cost, block.page, block.section)


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of sentences without outer white space."""
    begin = start
    for mark in _SENTENCE_END.finditer(text, start, end):
        if _ABBREVIATION.search(text, max(begin, mark.end() - _LOOK_BACK), mark.end()):
            continue
        if begin < mark.end():
            yield from _trimmed(text, begin, mark.end())
            begin = mark.end()
    yield from _trimmed(text, begin, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    if bare := piece.strip():
        start += len(piece) - len(piece.lstrip())
        yield start, start + len(bare)


def _parts(start: int, end: int, budget: _Budget) -> Iterator[tuple[int, int, int]]:
    """A line with its cost, or if it exceeds the budget, groups of its words of about `grain` tokens."""
    whole = budget.cost(start, end)
    if whole <= budget.tokens:
        yield start, end, whole
        return
    group_start, group_end, group_cost = start, start, 0
    for word in _WORD.finditer(budget.text, start, end):
        cost = budget.cost(word.start(), word.end())
        # One more for the white space between words, which the floor by characters would count.
        if group_cost and group_cost + cost + 1 > budget.grain:
            yield group_start, group_end, group_cost
            group_cost = 0
        if cost > budget.tokens:
            yield from _cut(word.start(), word.end(), budget, budget.tokens)
            continue
        if not group_cost:
            group_start = word.start()
        group_end, group_cost = word.end(), group_cost + cost
    if group_cost:
        yield group_start, group_end, group_cost


def _cut(start: int, end: int, budget: _Budget, most: int) -> Iterator[tuple[int, int, int]]:
    """Halve a word until its parts cost at most `most`, in order and without recursion."""
    pending = [(start, end)]
    while pending:
        left, right = pending.pop()
        cost = budget.cost(left, right)
        if cost <= most or right - left == 1:
            yield left, right, cost
            continue
        middle = (left + right) // 2
        pending += [(middle, right), (left, middle)]
