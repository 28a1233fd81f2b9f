"""Plain text: find the character encoding, refuse what is binary, one block per paragraph."""

import re

from domain.documents import IngestionFailure, ParsedDocument
from pipelines.parsing.assembly import Assembly
from pipelines.parsing.limits import ParseLimits

BINARY = "The file holds binary data, not text."
UNKNOWN_ENCODING = "The character encoding of the text could not be recognised; save the file as UTF-8."
EMPTY = "The file holds no text."

BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
SAMPLE_BYTES = 256 * 1024
FEW_FOREIGN = 30
"""Fewer accented letters than this fit many code pages equally well; the most widespread one is the likeliest."""
_UNUSED_CP1252 = b"\x81\x8d\x8f\x90\x9d"
MAX_DAMAGE = 0.01
"""Largest share of undecodable or control characters among those that count."""

_CONTROL = re.compile("[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f\x80-\x84\x86-\x9f]")
_PARAGRAPH_END = re.compile(r"\n\s*\n")


def decode(data: bytes, hint: str | None = None) -> str:
    """Text of `data` in its byte-order mark's encoding, UTF-8, `hint`, or what its bytes look like, in that order.

    Raises IngestionFailure for NUL bytes and other binary content, and for an encoding that nothing fits.
    """
    for mark, name in BOMS:
        if data.startswith(mark):
            return _checked(data.decode(name, "replace"))
    if b"\x00" in data:
        raise IngestionFailure(BINARY)
    try:
        return _checked(data.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    foreign = len(text) - len(text.encode("ascii", "ignore"))
    if damaged <= MAX_DAMAGE * foreign:
        return _checked(text)
    for guess in (hint, _guess(data)):
        if guess is not None:
            try:
                return _checked(data.decode(guess))
            except (UnicodeDecodeError, LookupError):
                continue
    raise IngestionFailure(UNKNOWN_ENCODING)


def _checked(text: str) -> str:
    if "\x00" in text or len(_CONTROL.findall(text)) > MAX_DAMAGE * len(text):
        raise IngestionFailure(BINARY)
    if text.count("\ufffd") > MAX_DAMAGE * len(text):
        raise IngestionFailure(UNKNOWN_ENCODING)
    return text


def _guess(data: bytes) -> str | None:
    foreign = sum(byte >= 0x80 for byte in data[:SAMPLE_BYTES])
    if foreign < FEW_FOREIGN and foreign * 3 < len(data) and not any(byte in data for byte in _UNUSED_CP1252):
        return "cp1252"
    # Imported here because most files are UTF-8 and the child pays for every import.
    from charset_normalizer import from_bytes

    best = from_bytes(data[:SAMPLE_BYTES]).best()
    return None if best is None else best.encoding


def parse(data: bytes, _limits: ParseLimits) -> ParsedDocument:
    text = decode(data).replace("\r\n", "\n").replace("\r", "\n")
    assembly = Assembly()
    for paragraph in _PARAGRAPH_END.split(text):
        assembly.add(paragraph)
    return assembly.document(empty=EMPTY)
