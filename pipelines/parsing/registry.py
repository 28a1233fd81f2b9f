"""The formats that can be parsed: media type, file name extensions and parser module."""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from domain.documents import ParsedDocument
from pipelines.parsing.limits import ParseLimits

Parser = Callable[[bytes, ParseLimits], ParsedDocument]
"""Every parser module has `parse` of this form; it raises IngestionFailure with a sentence for the user."""

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
TEXT = "text/plain"

PARSERS: dict[str, str] = {
    PDF: "pipelines.parsing.pdf",
    DOCX: "pipelines.parsing.docx",
    HTML: "pipelines.parsing.html",
    MARKDOWN: "pipelines.parsing.markdown",
    TEXT: "pipelines.parsing.text",
}

EXTENSIONS: dict[str, str] = {
    "pdf": PDF,
    "docx": DOCX,
    "html": HTML,
    "htm": HTML,
    "xhtml": HTML,
    "md": MARKDOWN,
    "markdown": MARKDOWN,
    "txt": TEXT,
    "text": TEXT,
}


def load_parser(media_type: str) -> Parser:
    """Import the parser of one of the media types above; KeyError for another one."""
    return cast("Parser", import_module(PARSERS[media_type]).parse)
