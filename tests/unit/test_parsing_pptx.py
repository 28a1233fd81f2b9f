"""Presentations: a slide is a page, its title the section; tables, notes and broken files."""

import pytest

from domain.documents import IngestionFailure
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.pptx import parse
from tests.fixtures import files


def test_slides_are_pages_with_their_titles_as_sections() -> None:
    data = files.pptx(
        [("Warranty", ["Two years.", "Lamps only."], "Say this slowly."), ("Prices", ["From 10"], "")],
        table=[["Lamp", "Price"], ["Aurora", "89"]],
    )
    parsed = parse(data, ParseLimits())
    assert parsed.pages == 2
    assert [(b.page, b.section, parsed.text[b.start : b.end]) for b in parsed.blocks] == [
        (1, "Warranty", "Warranty"),
        (1, "Warranty", "Two years.\nLamps only."),
        (1, "Warranty", "Notes: Say this slowly."),
        (2, "Prices", "Prices"),
        (2, "Prices", "From 10"),
        (2, "Prices", "Lamp | Price"),
        (2, "Prices", "Aurora | 89"),
    ]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"plain", "The file is not a presentation."),
        (files.xlsx({"A": [["x"]]}), "The file is not a presentation."),
        (files.archive({"[Content_Types].xml": b"<Types/>", "ppt/presentation.xml": b"no"}), "is damaged"),
        (files.archive({"ppt/presentation.xml": b" " * (64 * 1024 * 1024)}), "unpacks to far more data"),
        (files.pptx([]), "The presentation holds no text."),
    ],
)
def test_bad_presentations_fail_with_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(IngestionFailure) as caught:
        parse(data, ParseLimits())
    assert sentence in str(caught.value)
