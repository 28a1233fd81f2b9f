"""The formats that can be parsed: media type, file name extensions and parser module."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from domain.documents import ParsedDocument
from pipelines.parsing.limits import ParseLimits

Parser = Callable[[bytes, ParseLimits], ParsedDocument]
"""Every parser module has `parse` of this form; it raises IngestionFailure with a sentence for the user."""

Reader = Callable[[bytes, ParseLimits], dict[str, Any]]
"""Answers plain data that JSON can carry, or raises IngestionFailure."""

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
HTML = "text/html"
MARKDOWN = "text/markdown"
TEXT = "text/plain"
CSV = "text/csv"
JSON = "application/json"
EML = "message/rfc822"

PARSERS: dict[str, str] = {
    PDF: "pipelines.parsing.pdf",
    DOCX: "pipelines.parsing.docx",
    PPTX: "pipelines.parsing.pptx",
    XLSX: "pipelines.parsing.xlsx",
    HTML: "pipelines.parsing.html",
    MARKDOWN: "pipelines.parsing.markdown",
    TEXT: "pipelines.parsing.text",
    CSV: "pipelines.parsing.csv",
    JSON: "pipelines.parsing.json",
    EML: "pipelines.parsing.eml",
}

READERS: dict[str, str] = {
    "links": "pipelines.sources.page_links",
    "sitemap": "pipelines.sources.sitemap_file",
    "listing": "pipelines.sources.bucket_listing",
}
"""What else is read of hostile files, beside documents, by modules with `read` of the form of Reader."""

EXTENSIONS: dict[str, str] = {
    "pdf": PDF,
    "docx": DOCX,
    "pptx": PPTX,
    "xlsx": XLSX,
    "xlsm": XLSX,
    "html": HTML,
    "htm": HTML,
    "xhtml": HTML,
    "md": MARKDOWN,
    "markdown": MARKDOWN,
    "txt": TEXT,
    "text": TEXT,
    "csv": CSV,
    "tsv": CSV,
    "json": JSON,
    "jsonl": JSON,
    "ndjson": JSON,
    "eml": EML,
}


def load_parser(media_type: str) -> Parser:
    """Import the parser of one of the media types above; KeyError for another one."""
    return cast("Parser", import_module(PARSERS[media_type]).parse)


def load_reader(task: str) -> Reader:
    """Import the reader of one of the names above; KeyError for another one."""
    return cast("Reader", import_module(READERS[task]).read)
