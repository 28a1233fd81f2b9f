"""E-mail messages: the headers that a reader wants, the text of the body, and what is attached."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from domain.documents import IngestionFailure, ParsedDocument
from domain.errors import AppError
from pipelines.parsing import html
from pipelines.parsing.assembly import BELOW, Assembly, SectionPath
from pipelines.parsing.detect import detect
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.registry import EML, load_parser
from pipelines.parsing.text import decode

NO_MESSAGE = "The file is not an e-mail message."
EMPTY = "The e-mail message holds no text."
_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_MAX_PARTS = 1_000
MAX_OPENED = 50
"""Attachments that are read; of all others the name is kept."""


def parse(data: bytes, limits: ParseLimits) -> ParsedDocument:
    # The policy of today decodes headers and bodies; Python's default one is for messages of old.
    message = message_from_bytes(data, policy=default)
    headers = [f"{name}: {value}" for name in _HEADERS if (value := _header(message, name))]
    if not headers:
        raise IngestionFailure(NO_MESSAGE)
    assembly = Assembly()
    section = SectionPath(_header(message, "Subject")).path
    assembly.add("\n".join(headers), section=section)
    had, opened = False, 0
    for number, part in enumerate(_parts(message)):
        if number == _MAX_PARTS:
            break
        if (name := _attached(part)) is not None:
            assembly.add(f"Attachment: {name}", section=section)
            if opened < MAX_OPENED:
                opened += _add_attachment(part, name, limits, assembly, _header(message, "Subject"))
            continue
        for paragraph in _body(part, limits):
            had = True
            assembly.add(paragraph, section=section)
    if not had and section is None:
        raise IngestionFailure(EMPTY)
    return assembly.document(empty=EMPTY)


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message.get(name) or "").split())
    except (ValueError, IndexError, AttributeError, TypeError):
        # The parser of addresses and dates trips over some that nobody would have sent by hand.
        return ""


def _parts(message: EmailMessage) -> list[EmailMessage]:
    """Leaves in reading order; of alternatives the plain one, else the first."""
    found: list[EmailMessage] = []
    pending = [message]
    while pending and len(found) <= _MAX_PARTS:
        part = pending.pop()
        if not part.is_multipart():
            found.append(part)
            continue
        inner = [item for item in part.iter_parts() if isinstance(item, EmailMessage)]
        if part.get_content_subtype() == "alternative" and inner:
            inner = [next((item for item in inner if item.get_content_type() == "text/plain"), inner[0])]
        pending.extend(reversed(inner))
    return found


def _attached(part: EmailMessage) -> str | None:
    if part.get_content_maintype() == "text" and not part.is_attachment():
        return None
    return " ".join(str(part.get_filename() or part.get_content_type()).split())[:200]


def _add_attachment(part: EmailMessage, name: str, limits: ParseLimits, assembly: Assembly, subject: str) -> bool:
    """Add its text, below its name, when it is a file that can be read; a message within a message is not opened."""
    raw = part.get_payload(decode=True)
    if not isinstance(raw, bytes):
        return False
    try:
        media_type = detect(raw, name, part.get_content_type())
        if media_type == EML:
            return False
        parsed = load_parser(media_type)(raw, limits)
    except (AppError, IngestionFailure):
        return False
    sections = SectionPath(subject)
    sections.enter(1, name)
    for block in parsed.blocks:
        section = BELOW.join(filter(None, (str(sections), block.section)))
        assembly.add(parsed.text[block.start : block.end], section=section, verbatim=True)
    return True


def _body(part: EmailMessage, limits: ParseLimits) -> list[str]:
    raw = part.get_payload(decode=True)
    if not isinstance(raw, bytes) or not raw.strip():
        return []
    if part.get_content_subtype() == "html":
        try:
            parsed = html.parse(raw, limits)
        except IngestionFailure:
            return []
        return [parsed.text[block.start : block.end] for block in parsed.blocks]
    text = decode(raw, part.get_content_charset()).replace("\r\n", "\n").replace("\r", "\n")
    return text.split("\n\n")
