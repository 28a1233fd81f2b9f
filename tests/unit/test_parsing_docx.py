"""Word documents: sections, tables, tracked changes; and archives that are bombs, fakes or broken."""

from io import BytesIO

import pytest
from docx import Document
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from domain.documents import IngestionFailure
from pipelines.parsing.archive import damaged, foreign
from pipelines.parsing.docx import EMPTY, NOUN, parse
from pipelines.parsing.limits import ParseLimits
from tests.fixtures import files

DAMAGED, NOT_WORD = damaged(NOUN), foreign(NOUN)
BOMB = "The Word document unpacks to far more data than a document needs."


def rows(data: bytes) -> list[tuple[str | None, str]]:
    parsed = parse(data, ParseLimits())
    assert parsed.pages is None
    return [(block.section, parsed.text[block.start : block.end]) for block in parsed.blocks]


def saved(*body: str) -> bytes:
    """A document of raw WordprocessingML elements."""
    document = Document()
    for number, xml in enumerate(body):
        document.element.body.insert(number, parse_xml(xml.replace(">", f" {nsdecls('w')}>", 1)))
    out = BytesIO()
    document.save(out)
    return out.getvalue()


def test_headings_become_the_section_path_and_tables_rows() -> None:
    data = files.docx(
        [(0, "Handbook", []), (1, "Leave", ["Thirty days."]), (2, "Sick", ["Call us."]), (1, "Pay", ["Monthly."])],
        table=[["Grade", "Rate"], ["A", "10"]],
    )
    assert rows(data) == [
        ("Handbook", "Handbook"),
        ("Handbook > Leave", "Leave"),
        ("Handbook > Leave", "Thirty days."),
        ("Handbook > Leave > Sick", "Sick"),
        ("Handbook > Leave > Sick", "Call us."),
        ("Handbook > Pay", "Pay"),
        ("Handbook > Pay", "Monthly."),
        ("Handbook > Pay", "Grade | Rate"),
        ("Handbook > Pay", "A | 10"),
    ]


def test_insertions_and_content_controls_are_read_and_deletions_are_not() -> None:
    data = saved(
        "<w:p><w:r><w:t>kept </w:t></w:r><w:ins><w:r><w:t>added</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>",
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>controlled</w:t><w:br/><w:t>two</w:t></w:r></w:p></w:sdtContent></w:sdt>",
        "<w:p><w:pPr><w:outlineLvl w:val='0'/></w:pPr><w:r><w:t>Outlined</w:t></w:r></w:p>",
    )
    assert rows(data) == [
        (None, "kept added"),
        (None, "controlled\ntwo"),
        ("Outlined", "Outlined"),
    ]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"plain text", NOT_WORD),
        (b"PK\x03\x04 not a zip", DAMAGED),
        (files.fake_docx(), DAMAGED),
        (files.archive({"a.txt": b"x"}), NOT_WORD),
        (files.docx([(1, "H", ["p"])])[:5_000], DAMAGED),
        (files.zip_bomb_docx(), BOMB),
        (files.many_entries_docx(), BOMB),
        (files.docx([]), EMPTY),
    ],
)
def test_bad_archives_fail_with_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(IngestionFailure) as caught:
        parse(data, ParseLimits())
    assert str(caught.value) == sentence


def test_outside_entities_are_not_read() -> None:
    good = files.docx([(1, "H", ["p"])])
    import zipfile

    source = zipfile.ZipFile(BytesIO(good))
    entries = {name: source.read(name) for name in source.namelist()}
    xml = entries["word/document.xml"].decode()
    head, _, rest = xml.partition("?>")
    entries["word/document.xml"] = (
        f'{head}?><!DOCTYPE x [<!ENTITY leak SYSTEM "file:///etc/passwd">]>' + rest.replace(">p<", ">p &leak;<")
    ).encode()
    try:
        texts = [text for _, text in rows(files.archive(entries))]
    except IngestionFailure:
        return
    assert not any("root:" in text for text in texts)
