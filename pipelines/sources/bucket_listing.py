"""A page of a bucket's listing (S3's ListObjectsV2); read in the sandbox's child process."""

from io import BytesIO
from typing import Any
from urllib.parse import unquote_plus

from lxml import etree

from domain.documents import IngestionFailure
from pipelines.parsing.limits import ParseLimits

NO_LISTING = "The address does not answer as a bucket does."
MAX_CHARS = 2_048


def read(data: bytes, _limits: ParseLimits) -> dict[str, Any]:
    """`{"objects": [[key, size], ...], "next": token or None}`. Raises IngestionFailure."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        tree = etree.parse(BytesIO(data), parser).getroot()
        if etree.QName(tree).localname != "ListBucketResult":
            raise IngestionFailure(NO_LISTING)
        plain = unquote_plus if _text(tree, "EncodingType") == "url" else str
        objects = [[plain(_text(node, "Key")), int(_text(node, "Size") or 0)] for node in tree.iterfind("{*}Contents")]
    except (etree.XMLSyntaxError, ValueError) as error:
        raise IngestionFailure(NO_LISTING) from error
    more = _text(tree, "IsTruncated") == "true"
    return {
        "objects": [row for row in objects if row[0]],
        "next": (_text(tree, "NextContinuationToken") or None) if more else None,
    }


def _text(node: Any, name: str) -> str:
    return str(node.findtext(f"{{*}}{name}") or "")[:MAX_CHARS]
