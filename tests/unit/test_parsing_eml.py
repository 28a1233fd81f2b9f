"""E-mail messages: headers, the plain body or the HTML one, attachments by name; and messages that are none."""

from email.message import EmailMessage

import pytest

from domain.documents import IngestionFailure
from pipelines.parsing.eml import EMPTY, NO_MESSAGE, parse
from pipelines.parsing.limits import ParseLimits
from tests.fixtures import files


def blocks(data: bytes) -> list[str]:
    parsed = parse(data, ParseLimits())
    return [parsed.text[block.start : block.end] for block in parsed.blocks]


def message(**headers: str) -> EmailMessage:
    made = EmailMessage()
    for name, value in headers.items():
        made[name] = value
    return made


def test_headers_the_plain_body_and_attachments() -> None:
    made = message(From="Zoë <zoe@example.com>", To="shop@example.com", Subject="Größe", **{"X-Spam": "no"})
    made.set_content("First.\n\nSecond, with ü.\n")
    made.add_alternative("<p>Rich.</p>", subtype="html")
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="bill.pdf")
    assert blocks(made.as_bytes()) == [
        "From: Zoë <zoe@example.com>\nTo: shop@example.com\nSubject: Größe",
        "First.",
        "Second, with ü.",
        "Attachment: bill.pdf",
    ]


def test_attachments_that_can_be_read_are_read_below_their_names() -> None:
    made = message(Subject="Order")
    made.set_content("See below.")
    made.add_attachment(files.pdf(["Two lamps."]), maintype="application", subtype="pdf", filename="bill.pdf")
    made.add_attachment("# Terms\n\nPay soon.", subtype="markdown", filename="terms.md")
    made.add_attachment(files.pdf(["x"], password="p"), maintype="application", subtype="pdf", filename="locked.pdf")
    made.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="logo.png")
    made.add_attachment(files.archive({"a.txt": b"no"}), maintype="application", subtype="zip", filename="a.zip")
    parsed = parse(made.as_bytes(), ParseLimits())
    found = [(block.section, parsed.text[block.start : block.end]) for block in parsed.blocks]
    assert found == [
        ("Order", "Subject: Order"),
        ("Order", "See below."),
        ("Order", "Attachment: bill.pdf"),
        ("Order > bill.pdf", "Two lamps."),
        ("Order", "Attachment: terms.md"),
        ("Order > terms.md > Terms", "Terms"),
        ("Order > terms.md > Terms", "Pay soon."),
        ("Order", "Attachment: locked.pdf"),
        ("Order", "Attachment: logo.png"),
        ("Order", "Attachment: a.zip"),
    ]


def test_a_message_within_a_message_is_not_opened() -> None:
    inner, outer = message(Subject="Inner", From="a@example.com"), message(Subject="Outer")
    inner.set_content("deep inside")
    outer.set_content("outside")
    outer.add_attachment(inner)
    for _ in range(3):
        outer.add_attachment(outer.as_bytes(), maintype="application", subtype="octet-stream", filename="again.eml")
    text = parse(outer.as_bytes(), ParseLimits()).text
    assert text.count("Attachment: again.eml") == 3
    assert text.count("Subject: Inner") == 0


def test_an_html_body_is_read_without_its_markup() -> None:
    made = message(Subject="S")
    made.set_content("<p>Hello there.</p><script>x()</script>", subtype="html")
    assert blocks(made.as_bytes()) == ["Subject: S", "Hello there."]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"just text\n\nmore", NO_MESSAGE),
        (b"From: a@example.com\n\n", EMPTY),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(IngestionFailure) as caught:
        blocks(data)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "data",
    [
        b"From: " + b"<" * 5_000 + b"\nSubject: S\n\nx",
        b"Subject: S\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx",
        b"Subject: S\nContent-Type: text/plain; charset=nonsense\n\nx",
        b"Subject: S\nContent-Transfer-Encoding: base64\n\nx",
        b"Subject: =?utf-8?b?////?=\nDate: never\n\nx",
    ],
)
def test_malformed_messages_are_read_as_far_as_they_go(data: bytes) -> None:
    assert blocks(data)
