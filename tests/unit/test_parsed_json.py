"""The stored form of a parsed document."""

from domain.documents import Block, ParsedDocument
from pipelines.parsed_json import dump_parsed, load_parsed


def test_a_document_comes_back_as_it_was() -> None:
    parsed = ParsedDocument("Über “alles”\n\n東京", (Block(0, 12, 1, "Eins"), Block(14, 16, 2, None)), 2, "de")
    assert load_parsed(dump_parsed(parsed)) == parsed


def test_offsets_are_characters_not_bytes() -> None:
    parsed = load_parsed(dump_parsed(ParsedDocument("🦓 zebra", (Block(2, 7),), None)))
    assert parsed.text[parsed.blocks[0].start : parsed.blocks[0].end] == "zebra"


def test_a_document_from_before_languages_has_none() -> None:
    assert load_parsed(b'{"text": "a", "pages": null, "blocks": [[0, 1, null, null]]}').language is None
