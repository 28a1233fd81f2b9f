"""A sitemap or an index of sitemaps (sitemaps.org), also packed or as plain text; read in the sandbox's child."""

import re
import zlib
from io import BytesIO
from typing import Any

from lxml import etree

from domain.documents import IngestionFailure
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.text import decode

NO_SITEMAP = "The address holds no sitemap."
DAMAGED = "The sitemap is damaged and cannot be read."
TOO_LARGE = "The sitemap is larger than sitemaps may be."
MAX_BYTES = 50 * 1024 * 1024
"""Unpacked, as the protocol says."""
MAX_ENTRIES = 50_000
MAX_CHARS = 2_048
_LINE = re.compile(r"https?://\S+")


def read(data: bytes, _limits: ParseLimits) -> dict[str, Any]:
    """`{"pages": [...], "sitemaps": [...]}`, in order. Raises IngestionFailure."""
    if data.startswith(b"\x1f\x8b"):
        data = _unpacked(data)
    start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    return _xml(data) if start.startswith(b"<") else _lines(data)


def _unpacked(data: bytes) -> bytes:
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        text = decoder.decompress(data, MAX_BYTES + 1)
    except zlib.error as error:
        raise IngestionFailure(DAMAGED) from error
    if len(text) > MAX_BYTES:
        raise IngestionFailure(TOO_LARGE)
    if not decoder.eof:
        raise IngestionFailure(DAMAGED)
    return text


def _lines(data: bytes) -> dict[str, Any]:
    lines = [line.strip() for line in decode(data).splitlines()]
    pages = [line for line in lines if _LINE.fullmatch(line) and len(line) <= MAX_CHARS]
    if not pages:
        raise IngestionFailure(NO_SITEMAP)
    return {"pages": pages[:MAX_ENTRIES], "sitemaps": []}


def _xml(data: bytes) -> dict[str, Any]:
    found: dict[str, list[str]] = {"url": [], "sitemap": []}
    known = False
    walker = etree.iterparse(
        BytesIO(data), events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False
    )
    try:
        for event, node in walker:
            name = etree.QName(node).localname if isinstance(node.tag, str) else ""
            if event == "start":
                known = known or name in ("urlset", "sitemapindex")
                if not known:
                    raise IngestionFailure(NO_SITEMAP)
                continue
            if name in found:
                # Of the entry itself: pictures and videos in it have addresses too.
                place = next((child for child in node if child.tag == _sibling(node, "loc")), None)
                text = "" if place is None else str(place.text or "").strip()
                if text and len(text) <= MAX_CHARS and len(found[name]) < MAX_ENTRIES:
                    found[name].append(text)
                node.clear()
    except etree.XMLSyntaxError as error:
        raise IngestionFailure(DAMAGED if known else NO_SITEMAP) from error
    return {"pages": found["url"], "sitemaps": found["sitemap"]}


def _sibling(node: Any, name: str) -> str:
    """A name of the node's own namespace."""
    space = etree.QName(node).namespace
    return f"{{{space}}}{name}" if space else name
