"""The stored form of a parsed document: what the page shows around a cited passage is cut from it."""

import json

from domain.documents import Block, ParsedDocument, Recognition


def dump_parsed(parsed: ParsedDocument) -> bytes:
    """UTF-8 JSON with `text`, `pages`, `language`, `notice`, `recognition` as [pages, confidence], and `blocks` as
    [start, end, page, section]."""
    blocks = [[block.start, block.end, block.page, block.section] for block in parsed.blocks]
    told = {"pages": parsed.pages, "language": parsed.language, "notice": parsed.notice}
    recognition = parsed.recognition and [parsed.recognition.pages, parsed.recognition.confidence]
    fields = {"text": parsed.text, **told, "recognition": recognition, "blocks": blocks}
    return json.dumps(fields, ensure_ascii=False).encode()


def load_parsed(data: bytes) -> ParsedDocument:
    """The document that `dump_parsed` wrote."""
    fields = json.loads(data)
    blocks = tuple(Block(*row) for row in fields["blocks"])
    # Documents from before these were told have none.
    recognition = Recognition(*fields["recognition"]) if fields.get("recognition") else None
    return ParsedDocument(
        fields["text"], blocks, fields["pages"], fields.get("language"), fields.get("notice"), recognition
    )
