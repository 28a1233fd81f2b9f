"""A preview counts what the chunks count, shows their overlap, and spreads them over buckets."""

from domain.chunk_preview import BUCKETS, beginning, preview
from domain.chunking import cut
from domain.chunking_config import ChunkingConfig
from domain.documents import ParsedDocument
from tests.unit.test_chunking import assemble, sentences, words

CONFIG = ChunkingConfig(max_tokens=40, overlap_tokens=10)


def test_a_preview_is_what_ingestion_would_make() -> None:
    parsed = assemble([(sentences(9), 1, "A"), (sentences(1, 4), 2, "B")])
    found = preview(parsed, words, CONFIG)
    assert [one.chunk for one in found.chunks] == cut(parsed, words, CONFIG)
    assert [one.tokens for one in found.chunks] == [words(one.chunk.text) for one in found.chunks]
    assert found.tokens == words(parsed.text) + sum(
        words(one.chunk.text[: one.overlap]) for one in found.chunks if one.overlap
    )
    assert found.chunks[0].overlap == 0
    assert found.chunks[1].overlap > 0
    before, after = found.chunks[0].chunk, found.chunks[1]
    assert before.text.endswith(after.chunk.text[: after.overlap])
    assert found.chunks[-1].overlap == 0
    assert found.overlap == sum(one.overlap for one in found.chunks)


def test_buckets_cover_every_chunk_once() -> None:
    parsed = assemble([(sentences(9), 1, "A"), (sentences(1, 4), 2, "B")])
    found = preview(parsed, words, CONFIG)
    assert len(found.histogram) == BUCKETS
    assert (found.histogram[0].low, found.histogram[-1].high) == (1, CONFIG.max_tokens)
    assert all(left.high + 1 == right.low for left, right in zip(found.histogram, found.histogram[1:], strict=False))
    for bucket in found.histogram:
        assert bucket.chunks == sum(bucket.low <= one.tokens <= bucket.high for one in found.chunks)
    least, middle, mean, most = found.spread
    assert least <= middle <= most
    assert least <= mean <= most


def test_nothing_has_an_empty_preview() -> None:
    found = preview(ParsedDocument("", ()), words, CONFIG)
    assert (found.chunks, found.tokens, found.spread) == ((), 0, (0, 0.0, 0.0, 0))
    assert sum(bucket.chunks for bucket in found.histogram) == 0


def test_the_beginning_ends_with_a_block_where_it_can() -> None:
    parsed = assemble([("one two", 1, "A"), ("three four", 1, "A"), ("five", 2, "B")])
    assert beginning(parsed, 100) is parsed
    assert beginning(parsed, 20).text == "one two\n\nthree four"[:19]
    assert [block.end for block in beginning(parsed, 18).blocks] == [7]
    short = beginning(parsed, 3)
    assert (short.text, [(block.start, block.end) for block in short.blocks]) == ("one", [(0, 3)])
    assert cut(short, words, CONFIG)[0].text == "one"
