"""Tells whether two bodies are the same request, as they stream by."""

import hashlib

from python_multipart.multipart import parse_options_header


class Fingerprint:
    """A hash of the media type and the body. The boundary of a form is left out: every attempt makes a new one."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        self._hash = hashlib.sha256(kind.lower() + b"\n")
        self._boundary = options.get(b"boundary", b"") if kind == b"multipart/form-data" else b""
        self._part = hashlib.sha256()
        self._tail = b""

    def update(self, data: bytes) -> None:
        if not self._boundary:
            self._hash.update(data)
            return
        *whole, rest = (self._tail + data).split(self._boundary)
        for part in whole:
            self._part.update(part)
            # A digest per part: no content can stand for the end of one.
            self._hash.update(self._part.digest())
            self._part = hashlib.sha256()
        # The end may be the beginning of a boundary.
        keep = min(len(rest), len(self._boundary) - 1)
        self._part.update(rest[: len(rest) - keep])
        self._tail = rest[len(rest) - keep :]

    def value(self) -> str:
        """Of all that came so far."""
        found, part = self._hash.copy(), self._part.copy()
        part.update(self._tail)
        found.update(part.digest())
        return found.hexdigest()
