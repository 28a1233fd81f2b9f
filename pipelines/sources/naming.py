"""Names of documents: safe to show, whatever a path, a header or an address says."""

import re
from email.message import Message
from urllib.parse import unquote

from pipelines.parsing.registry import EXTENSIONS
from storage.web import Fetched

MAX_NAME = 255
FETCHED_TYPES = frozenset(
    (*EXTENSIONS.values(), "application/octet-stream", "application/xhtml+xml", "binary/octet-stream")
)
"""What servers call the files that we can read. The content is looked at all the same."""
# The first ending of each is its usual one.
_EXTENSION_OF = {media: ending for ending, media in reversed(EXTENSIONS.items())} | {"application/xhtml+xml": "xhtml"}
_ENDING = re.compile(r"\.([A-Za-z0-9]{1,12})$")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


def display_name(name: str) -> str:
    """The last element of a path without control and direction characters, at most 255 characters."""
    plain = _UNSAFE.sub("", re.split(r"[/\\]", name)[-1]).strip().strip(".") or "document"
    if len(plain) <= MAX_NAME:
        return plain
    stem, dot, extension = plain.rpartition(".")
    tail = dot + extension if stem and len(extension) <= 12 else ""
    return plain[: MAX_NAME - len(tail)] + tail


def name_of(fetched: Fetched) -> str:
    """The server's own name for the file, or the last part of the address, or its host; safe to show.

    A page's address may end in anything: where the ending is none that we know, the declared type gives one.
    """
    told = _told_name(fetched.disposition)
    if told is not None:
        return display_name(told)
    last = unquote(fetched.address.target.partition("?")[0].rpartition("/")[2], errors="replace")
    name = display_name(last) if last.strip(" .") else fetched.address.host
    ending = _ENDING.search(name)
    extension = _EXTENSION_OF.get(fetched.media_type or "")
    if extension is None or (ending is not None and ending[1].lower() in EXTENSIONS):
        return name
    return display_name(f"{name}.{extension}")


def _told_name(disposition: str | None) -> str | None:
    """Of a Content-Disposition header; its forms are those of RFC 6266."""
    if disposition is None:
        return None
    message = Message()
    message["Content-Disposition"] = disposition
    name = message.get_filename()
    return name.encode("utf-8", "replace").decode() if name else None
