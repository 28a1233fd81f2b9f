"""Reads a webhook of Stripe's: the signature first, then the event."""

import json
from typing import Any

from stripe import SignatureVerificationError, WebhookSignature

from domain.errors import InvalidInput, TooLarge

MAX_BYTES = 256 * 1024
TOLERANCE_SECONDS = 300


def read_event(body: bytes, header: str | None, secret: str) -> dict[str, Any]:
    """The signed event as plain data with a string `id`, `type` and an object in `data.object`.

    Raises TooLarge over 256 KiB, InvalidInput when the signature is missing, wrong or older than five minutes, or
    when what was signed is no event. Source: https://docs.stripe.com/webhooks#verify-manually
    """
    if len(body) > MAX_BYTES:
        raise TooLarge("The event is larger than 256 KiB.")
    try:
        text = body.decode("utf-8")
        # Header values arrive as Latin-1; the SDK compares them as bytes and wants ASCII.
        signed = (header or "").encode("ascii").decode()
        WebhookSignature.verify_header(text, signed, secret, TOLERANCE_SECONDS)
    except (SignatureVerificationError, UnicodeError):
        raise InvalidInput("The signature of the event is not valid.") from None
    try:
        event = json.loads(_storable(text), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InvalidInput("The event is not valid JSON.") from None
    if not _is_event(event):
        raise InvalidInput("The body is not an event of Stripe's.")
    return dict(event)


def _storable(text: str) -> bytes:
    """PostgreSQL keeps neither NUL nor lone surrogates; nothing of ours reads text that could hold one."""
    plain = json.dumps(json.loads(text.replace("\\u0000", "\\ufffd")), ensure_ascii=False)
    return plain.encode("utf-8", "replace")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _is_event(event: Any) -> bool:
    return (
        isinstance(event, dict)
        and all(isinstance(event.get(key), str) and 0 < len(event[key]) <= 255 for key in ("id", "type"))
        and isinstance(event.get("data"), dict)
        and isinstance(event["data"].get("object"), dict)
    )
