"""The first stage without Ray: a real parse in the sandbox, and the language that the document gets."""

from uuid import uuid4

import pytest

from domain.ids import ChatbotId, DocumentId, TenantId
from pipelines.parse_stage import parsed_with_language
from pipelines.parsing.registry import HTML, PDF, TEXT
from pipelines.work import IngestSizing, WorkItem
from tests.fixtures import files
from tests.unit.test_language import SENTENCES

ENGLISH_BY_ITS_TAG = b'<!DOCTYPE html><html lang="en"><body><p>%s</p></body></html>'


@pytest.mark.parametrize(
    ("data", "media_type", "language"),
    [
        (SENTENCES["de"].encode(), TEXT, "de"),
        (files.pdf([SENTENCES["fr"]] * 3), PDF, "fr"),
        (ENGLISH_BY_ITS_TAG % SENTENCES["pl"].encode(), HTML, "pl"),
        (ENGLISH_BY_ITS_TAG % b"OK 42", HTML, "en"),
        (b"OK 42", TEXT, None),
    ],
)
def test_the_text_tells_its_language_and_else_the_document(data: bytes, media_type: str, language: str | None) -> None:
    item = WorkItem(TenantId(uuid4()), ChatbotId(uuid4()), DocumentId(uuid4()), "x", media_type)
    assert parsed_with_language(data, item, IngestSizing("", "")).language == language
