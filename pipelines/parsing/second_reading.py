"""A second reading of files whose text stands in pictures: recognised in a child of its own, with limits of its own."""

import structlog

from domain.documents import IngestionFailure, ParsedDocument, PicturesOnly
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.sandbox import parse

log = structlog.get_logger(__name__)

NOT_RECOGNISED = "The file's pages are pictures, and the text on them could not be recognised."


def parse_twice(
    data: bytes, name: str, media_type: str, limits: ParseLimits, recognition: ParseLimits | None
) -> ParsedDocument:
    """As `sandbox.parse`; a file with pages that are pictures is read again within `recognition`.

    Raises what `sandbox.parse` raises. What the first reading found is kept when the second one fails.
    """
    first: ParsedDocument | None = None
    try:
        first = parse(data, name, media_type, limits)
        if recognition is None or first.notice is None:
            return first
    except PicturesOnly:
        if recognition is None:
            raise
    try:
        return parse(data, name, media_type, recognition)
    except IngestionFailure as failure:
        log.warning("text_not_recognised", document=name, reason=str(failure))
        if first is not None:
            return first
        if isinstance(failure, PicturesOnly):
            raise
        raise IngestionFailure(f"{NOT_RECOGNISED} {failure}") from failure
