"""Detection of a file's media type at upload: content first, then the name; light enough for the gateway."""

import re

from domain.errors import Unprocessable, UnsupportedMedia
from pipelines.parsing.registry import CSV, DOCX, EML, EXTENSIONS, HTML, JSON, MARKDOWN, PDF, PPTX, TEXT, XLSX

HEAD_BYTES = 64 * 1024
"""How much of the file `detect` looks at."""

SUPPORTED = (
    "Supported are PDF, Word (.docx), PowerPoint (.pptx), Excel (.xlsx), CSV, HTML, Markdown, JSON, e-mail (.eml) and "
    "plain text."
)

_LABELS = {PDF: "a PDF", DOCX: "a Word document", PPTX: "a presentation", XLSX: "a spreadsheet"}
_DECLARED = frozenset((HTML, MARKDOWN, CSV, JSON, EML))
"""What the sender's word decides for text that no name tells of."""
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file or one protected by a password"),
    (b"{\\rtf", "an RTF file"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"\x1f\x8b", "a compressed archive"),
    (b"7z\xbc\xaf\x27\x1c", "a compressed archive"),
    (b"Rar!", "a compressed archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
)
_FOLDERS = {b"word": DOCX, b"ppt": PPTX, b"xl": XLSX}
"""Of an Office file's parts."""
_ENTRY = re.compile(rb"PK\x03\x04.{26}([A-Za-z]{2,4})/", re.DOTALL)
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_HTML_START = re.compile(
    r"(?:<\?xml[^>]{0,200}\?>\s*)?(?:(?><!--.{0,4000}?-->)\s*+)*+<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def detect(data_head: bytes, name: str, declared: str | None) -> str:
    """Media type, one of the registry's, of a file from its first bytes (64 KiB or more), name and declared type.

    Raises UnsupportedMedia with a sentence when the format is not supported or the name says another one, and
    Unprocessable when the file is empty. The parser still checks the whole file.
    """
    head = data_head[:HEAD_BYTES]
    if not head:
        raise Unprocessable("The file is empty.")
    extension = _extension(name)
    named = EXTENSIONS.get(extension)
    content = _container(head, named)
    if content is not None:
        if named not in (None, content):
            raise UnsupportedMedia(f"The file is named .{extension}, but its content is {_LABELS[content]}.")
        if named is None and extension:
            raise UnsupportedMedia(f"Files named .{extension} are not supported. {SUPPORTED}")
        return content
    text = _as_text(head)
    if text is None or named in _LABELS:
        if named is not None:
            raise UnsupportedMedia(f"The file is named .{extension}, but its content is something else.")
        raise UnsupportedMedia(f"This kind of file is not supported. {SUPPORTED}")
    if named is None and extension:
        raise UnsupportedMedia(f"Files named .{extension} are not supported. {SUPPORTED}")
    if named not in (CSV, JSON, EML) and _HTML_START.match(text.lstrip("\ufeff \t\r\n")):
        return HTML
    if named is not None:
        return named
    media_type = (declared or "").partition(";")[0].strip().lower()
    return media_type if media_type in _DECLARED else TEXT


def _extension(name: str) -> str:
    """What follows the last dot of the last path element, when it looks like an extension at all."""
    stem, dot, extension = re.split(r"[/\\]", name)[-1].rpartition(".")
    return extension.lower() if dot and stem and re.fullmatch(r"[A-Za-z0-9]{1,12}", extension) else ""


def _container(head: bytes, named: str | None) -> str | None:
    """PDF or an Office format by content, None for what may be text; raises UnsupportedMedia for other binary ones."""
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith(b"PK"):
        for entry in _ENTRY.finditer(head):
            if entry[1] in _FOLDERS:
                return _FOLDERS[entry[1]]
        if b"[Content_Types].xml" in head:
            # Its parts come later than we look; the parser will see.
            return named if named in (DOCX, PPTX, XLSX) else DOCX
        raise UnsupportedMedia(f"The file is an archive, not an Office document. {SUPPORTED}")
    for mark, label in _FOREIGN:
        if head.startswith(mark):
            raise UnsupportedMedia(f"The file is {label}. {SUPPORTED}")
    return None


def _as_text(head: bytes) -> str | None:
    """The beginning as text good enough to sniff in, or None when it is binary."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return head[: len(head) // 4 * 4].decode(encoding, "replace")
    text = head.decode("utf-8", "replace")
    if "\x00" in text or len(_CONTROL.findall(text)) > 0.01 * len(text):
        return None
    return text
