"""What a crawl wants to know of a page: its links, and what it says to robots; read in the sandbox's child process."""

from typing import Any

from lxml import etree
from lxml import html as lxml_html

from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.text import decode

MAX_LINKS = 5_000
MAX_CHARS = 2_048
AGENTS = frozenset(("robots", "loquent"))


def read(data: bytes, _limits: ParseLimits) -> dict[str, Any]:
    """`{"links": [...], "noindex": bool, "nofollow": bool}`; links as they are written, but below the page's base.

    A page that is none has no links. Raises IngestionFailure for binary data.
    """
    nothing: dict[str, Any] = {"links": [], "noindex": False, "nofollow": False}
    try:
        tree = lxml_html.document_fromstring(decode(data).encode(), parser=lxml_html.HTMLParser(encoding="utf-8"))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return nothing
    words: set[str] = set()
    for meta in tree.iter("meta"):
        if str(meta.get("name", "")).strip().lower() in AGENTS:
            words |= {word.strip() for word in str(meta.get("content", "")).lower().split(",")}
    base = next((str(node.get("href")) for node in tree.iter("base") if node.get("href")), None)
    links: dict[str, None] = {}
    for node in tree.iter("a", "area"):
        href = str(node.get("href") or "").strip()
        if "nofollow" in str(node.get("rel", "")).lower().split() or len(href) > MAX_CHARS:
            continue
        if href and not href.startswith("#"):
            links[href] = None
        if len(links) >= MAX_LINKS:
            break
    return {
        "links": list(links),
        "base": base[:MAX_CHARS] if base else None,
        "noindex": bool(words & {"noindex", "none"}),
        "nofollow": bool(words & {"nofollow", "none"}),
    }
