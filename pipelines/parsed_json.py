"""The stored form of a parsed document: what the page shows around a cited passage is cut from it."""

import json

from domain.documents import Block, ParsedDocument


def dump_parsed(parsed: ParsedDocument) -> bytes:
    """UTF-8 JSON with `text`, `pages` and `blocks` as [start, end, page, section]."""
    blocks = [[block.start, block.end, block.page, block.section] for block in parsed.blocks]
    return json.dumps({"text": parsed.text, "pages": parsed.pages, "blocks": blocks}, ensure_ascii=False).encode()


def load_parsed(data: bytes) -> ParsedDocument:
    """The document that `dump_parsed` wrote."""
    fields = json.loads(data)
    return ParsedDocument(fields["text"], tuple(Block(*row) for row in fields["blocks"]), fields["pages"])
