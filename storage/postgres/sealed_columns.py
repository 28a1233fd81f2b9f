"""Columns that hold sealed text: what is written to them, and what is read from rows of today and of earlier days."""

import json
from collections.abc import Mapping

from psycopg.rows import DictRow

from domain.conversation import Citation
from domain.ids import DocumentId, MessageId, SessionId, VisitorId
from domain.sealing import attributes_place, citation_place, comment_place, message_place, title_place
from storage.keys import TenantCipher


def content_of(
    cipher: TenantCipher, session_id: SessionId, message_id: MessageId, sealed: bytes | None, clear: str | None
) -> str:
    """A message's text. Raises Unreadable."""
    return _text(cipher, message_place(session_id, message_id), sealed, clear)


def title_of(cipher: TenantCipher, session_id: SessionId, sealed: bytes | None, clear: str) -> str:
    """A session's title. Raises Unreadable."""
    return _text(cipher, title_place(session_id), sealed, clear)


def comment_of(cipher: TenantCipher, message_id: MessageId, sealed: bytes | None, clear: str) -> str:
    """What somebody said about an answer. Raises Unreadable."""
    return _text(cipher, comment_place(message_id), sealed, clear)


def attributes_of(cipher: TenantCipher, visitor_id: VisitorId, sealed: bytes | None) -> dict[str, str]:
    """What the tenant's server vouched for about a visitor. Raises Unreadable."""
    if sealed is None:
        return {}
    found: dict[str, str] = json.loads(cipher.open_text(attributes_place(visitor_id), sealed))
    return found


def seal_attributes(cipher: TenantCipher, visitor_id: VisitorId, attributes: Mapping[str, str]) -> bytes | None:
    """None are no secret."""
    if not attributes:
        return None
    return cipher.seal_text(attributes_place(visitor_id), json.dumps(dict(attributes), ensure_ascii=False))


def seal_content(cipher: TenantCipher, session_id: SessionId, message_id: MessageId, text: str) -> bytes:
    return cipher.seal_text(message_place(session_id, message_id), text)


def seal_title(cipher: TenantCipher, session_id: SessionId, title: str) -> bytes | None:
    """No title is no secret."""
    return cipher.seal_text(title_place(session_id), title) if title else None


def seal_comment(cipher: TenantCipher, message_id: MessageId, comment: str) -> bytes | None:
    return cipher.seal_text(comment_place(message_id), comment) if comment else None


def seal_citation(
    cipher: TenantCipher,
    session_id: SessionId,
    message_id: MessageId,
    position: int,
    texts: tuple[str, str | None, str],
) -> bytes:
    """`texts` are the document's name, the section and the snippet."""
    place = citation_place(session_id, message_id, position)
    return cipher.seal_text(place, json.dumps(texts, ensure_ascii=False, separators=(",", ":")))


def citation_of(cipher: TenantCipher, session_id: SessionId, message_id: MessageId, row: DictRow) -> Citation:
    """From a row of `citations`. Raises Unreadable."""
    name, section, snippet = row["document_name"], row["section"], row["snippet"]
    if row["sealed"] is not None:
        place = citation_place(session_id, message_id, row["position"])
        name, section, snippet = json.loads(cipher.open_text(place, row["sealed"]))
    return Citation(
        position=row["position"],
        document_id=DocumentId(row["document_id"]),
        document_name=name,
        page=row["page"],
        section=section,
        start=row["span_start"],
        end=row["span_end"],
        snippet=snippet,
    )


def _text(cipher: TenantCipher, place: str, sealed: bytes | None, clear: str | None) -> str:
    """Rows from before encryption have `clear`."""
    return (clear or "") if sealed is None else cipher.open_text(place, sealed)
