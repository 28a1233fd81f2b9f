"""PowerPoint presentations: a page for each slide with its title as section; tables as rows, the notes below."""

from io import BytesIO
from typing import Any
from zipfile import BadZipFile

from lxml import etree
from pptx import Presentation
from pptx.exc import PythonPptxError

from domain.documents import IngestionFailure, ParsedDocument
from pipelines.parsing.archive import damaged, weigh_archive
from pipelines.parsing.assembly import Assembly, SectionPath
from pipelines.parsing.limits import ParseLimits

NOUN = "presentation"
EMPTY = "The presentation holds no text."


def parse(data: bytes, limits: ParseLimits) -> ParsedDocument:
    weigh_archive(data, limits, "ppt/", NOUN)
    assembly = Assembly()
    try:
        slides = list(Presentation(BytesIO(data)).slides)
        for page, slide in enumerate(slides, 1):
            _add_slide(slide, page, assembly)
    except (PythonPptxError, BadZipFile, etree.LxmlError, KeyError, ValueError, AttributeError) as error:
        raise IngestionFailure(damaged(NOUN)) from error
    except (OSError, EOFError, TypeError, IndexError) as error:
        raise IngestionFailure(damaged(NOUN)) from error
    return assembly.document(empty=EMPTY, pages=len(slides))


def _add_slide(slide: Any, page: int, assembly: Assembly) -> None:
    title = slide.shapes.title
    section = SectionPath(title.text_frame.text if title is not None else None).path
    shapes = list(slide.shapes)[::-1]
    while shapes:
        shape = shapes.pop()
        if hasattr(shape, "shapes"):
            shapes.extend(list(shape.shapes)[::-1])
        elif shape.has_text_frame:
            assembly.add("\n".join(_paragraphs(shape.text_frame)), page=page, section=section)
        elif getattr(shape, "has_table", False):
            for number, row in enumerate(shape.table.rows):
                cells = [" ".join(cell.text_frame.text.split()) for cell in row.cells]
                if any(cells):
                    assembly.add(" | ".join(cells), page=page, section=section, tight=number > 0)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = "\n".join(_paragraphs(slide.notes_slide.notes_text_frame))
        if notes.strip():
            assembly.add(f"Notes: {notes}", page=page, section=section)


def _paragraphs(frame: Any) -> list[str]:
    """Lines of a text frame; deeper levels of a list carry a dash."""
    return [("- " if paragraph.level else "") + paragraph.text for paragraph in frame.paragraphs if paragraph.text]
