"""Word documents: headings become the section path, tables rows of text; archives are weighed before opening."""

import re
from io import BytesIO
from typing import Any
from zipfile import BadZipFile

from docx import Document
from docx.opc.exceptions import OpcError
from docx.oxml.ns import qn
from lxml import etree

from domain.documents import IngestionFailure, ParsedDocument
from pipelines.parsing.archive import damaged, weigh_archive
from pipelines.parsing.assembly import Assembly, SectionPath
from pipelines.parsing.limits import ParseLimits

NOUN = "Word document"
EMPTY = "The Word document holds no text."

_HEADING = re.compile(r"heading ([1-9])$", re.IGNORECASE)
_STYLE_CHAIN = 12
# Deleted and moved text, and the copy of a text box that only old readers need.
_SKIPPED = frozenset(
    (
        qn("w:pPr"),
        qn("w:rPr"),
        qn("w:del"),
        qn("w:moveFrom"),
        "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
    )
)


def parse(data: bytes, limits: ParseLimits) -> ParsedDocument:
    weigh_archive(data, limits, "word/", NOUN)
    try:
        document = Document(BytesIO(data))
        body, styles = document.element.body, document.styles.element
    except (OpcError, BadZipFile, etree.LxmlError, KeyError, ValueError, AttributeError, OSError, EOFError) as error:
        raise IngestionFailure(damaged(NOUN)) from error
    assembly, sections = Assembly(), SectionPath()
    levels = _heading_levels(styles)
    for node in _content(body):
        if node.tag == qn("w:tbl"):
            _add_table(node, assembly, sections)
            continue
        text = _text(node)
        properties = node.find(qn("w:pPr"))
        style = None if properties is None else properties.find(qn("w:pStyle"))
        level = _outline_level(properties)
        if level is None and style is not None:
            level = levels.get(str(style.get(qn("w:val"))))
        if level is not None and text.strip():
            sections.enter(level, text)
        in_list = properties is not None and properties.find(qn("w:numPr")) is not None
        assembly.add(text, section=sections.path, tight=in_list)
    return assembly.document(empty=EMPTY)


def _heading_levels(styles: Any) -> dict[str, int]:
    """Heading level by style id; a style without one has that of the style it is based on. The title has level 0."""
    own: dict[str, tuple[int | None, str | None]] = {}
    for style in styles.iterfind(qn("w:style")):
        name, base = style.find(qn("w:name")), style.find(qn("w:basedOn"))
        label = "" if name is None else str(name.get(qn("w:val")) or "")
        match = _HEADING.match(label)
        level = int(match[1]) if match else 0 if label.lower() == "title" else None
        if level is None:
            level = _outline_level(style.find(qn("w:pPr")))
        own[str(style.get(qn("w:styleId")))] = (level, None if base is None else base.get(qn("w:val")))
    levels: dict[str, int] = {}
    for key in own:
        current: str | None = key
        for _ in range(_STYLE_CHAIN):
            level, parent = own.get(current or "", (None, None))
            if level is not None:
                levels[key] = level
            if level is not None or parent is None:
                break
            current = parent
    return levels


def _outline_level(properties: Any | None) -> int | None:
    """Level 1 to 9 that paragraph properties set themselves; None for body text."""
    outline = None if properties is None else properties.find(qn("w:outlineLvl"))
    value = "" if outline is None else str(outline.get(qn("w:val")) or "")
    return int(value) + 1 if value in set("012345678") else None


def _content(body: Any) -> list[Any]:
    """Paragraphs and tables in order, those inside content controls and custom XML included."""
    found: list[Any] = []
    pending = list(body)[::-1]
    while pending:
        node = pending.pop()
        if node.tag in (qn("w:p"), qn("w:tbl")):
            found.append(node)
        elif node.tag in (qn("w:sdt"), qn("w:sdtContent"), qn("w:customXml"), qn("w:ins"), qn("w:moveTo")):
            pending.extend(list(node)[::-1])
    return found


def _text(root: Any) -> str:
    """Visible text below a node, without recursion; nested paragraphs (cells, text boxes) end in a line break."""
    parts: list[str] = []
    pending: list[Any] = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            parts.append(node)
            continue
        if node.tag in _SKIPPED:
            continue
        if node.tag == qn("w:t"):
            parts.append(node.text or "")
        elif node.tag == qn("w:tab"):
            parts.append("\t")
        elif node.tag in (qn("w:br"), qn("w:cr")):
            parts.append("\n")
        elif node.tag == qn("w:noBreakHyphen"):
            parts.append("-")
        else:
            if node.tag == qn("w:p") and node is not root:
                pending.append("\n")
            pending.extend(list(node)[::-1])
    return "".join(parts)


def _add_table(table: Any, assembly: Assembly, sections: SectionPath) -> None:
    for number, row in enumerate(table.iter(qn("w:tr"))):
        if next(row.iterancestors(qn("w:tbl"))) is not table:
            continue  # A nested table is text of its cell.
        cells = [" ".join(_text(cell).split()) for cell in row.iter(qn("w:tc")) if _row_of(cell) is row]
        if any(cells):
            assembly.add(" | ".join(cells), section=sections.path, tight=number > 0)


def _row_of(cell: Any) -> Any:
    return next(cell.iterancestors(qn("w:tr")), None)
