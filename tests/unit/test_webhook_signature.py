"""Only what Stripe signed, recently and with our secret, counts as an event."""

import json
import time
from typing import Any

import pytest
from stripe import WebhookSignature

from billing.signature import MAX_BYTES, read_event
from domain.errors import AppError, InvalidInput, TooLarge
from tests.fixtures.stripe_double import WEBHOOK_SECRET, signed

EVENT: dict[str, Any] = {"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": {"id": "in_1"}}}


def sign_text(text: str) -> tuple[bytes, str]:
    return text.encode(), WebhookSignature.generate_signature_header(text, WEBHOOK_SECRET)


def test_signed_event_is_read() -> None:
    assert read_event(*signed(EVENT), WEBHOOK_SECRET) == EVENT


def test_old_event_within_five_minutes_is_read() -> None:
    assert read_event(*signed(EVENT, at=int(time.time()) - 290), WEBHOOK_SECRET)["id"] == "evt_1"


def test_one_good_signature_of_several_is_enough() -> None:
    body, header = signed(EVENT)
    assert read_event(body, f"{header},v1={'0' * 64}", WEBHOOK_SECRET)["id"] == "evt_1"


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (signed(EVENT)[0], None),
        (signed(EVENT)[0], ""),
        (signed(EVENT)[0], "nonsense"),
        (signed(EVENT)[0], "t=,v1="),
        (signed(EVENT)[0], "t=abc,v1=00"),
        (signed(EVENT)[0], "t=1\xff,v1=\xe9"),
        (signed(EVENT)[0] + b" ", signed(EVENT)[1]),
        (b"\xff\xfe", signed(EVENT)[1]),
        signed(EVENT, secret="whsec_of_someone_else"),
        signed(EVENT, at=int(time.time()) - 310),
    ],
)
def test_bad_signature_is_refused(body: bytes, header: str | None) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_event(body, header, WEBHOOK_SECRET)
    assert refused.value.status == 400
    assert "signature" in refused.value.message


def test_no_secret_accepts_nothing() -> None:
    with pytest.raises(InvalidInput):
        read_event(*signed(EVENT, secret=""), "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "null",
        '{"id": "evt_1", "type": "x"}',
        '{"id": "evt_1", "type": "x", "data": []}',
        '{"id": "evt_1", "type": "x", "data": {"object": null}}',
        '{"id": 7, "type": "x", "data": {"object": {}}}',
        '{"id": "", "type": "x", "data": {"object": {}}}',
        '{"id": "evt_1", "type": "x", "data": {"object": {"n": NaN}}}',
        "[" * 5_000,
    ],
)
def test_signed_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_event(*sign_text(text), WEBHOOK_SECRET)


def test_large_body_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        read_event(b" " * (MAX_BYTES + 1), None, WEBHOOK_SECRET)


def test_what_postgres_cannot_keep_is_replaced() -> None:
    text = '{"id": "evt_1", "type": "x", "data": {"object": {"a": "\\u0000", "b": "\\ud800"}}}'
    found = read_event(*sign_text(text), WEBHOOK_SECRET)["data"]["object"]
    assert "\x00" not in found["a"]
    json.dumps(found, ensure_ascii=False).encode("utf-8")


def test_refusals_do_not_repeat_the_secret() -> None:
    with pytest.raises(AppError) as refused:
        read_event(*signed(EVENT, secret="another"), WEBHOOK_SECRET)
    assert WEBHOOK_SECRET not in refused.value.message
