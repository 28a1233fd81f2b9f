"""HTML: main content with sections, without navigation and scripts; small pages are read whole."""

import pytest

from domain.documents import IngestionFailure
from pipelines.parsing.html import parse
from pipelines.parsing.limits import ParseLimits
from tests.fixtures import files

SENTENCE = "You may return any item within thirty days of delivery, as long as it is unused and in its packaging."
MAIN = f"<h1>Returns</h1><p>{SENTENCE}</p><h2>How</h2><p>{SENTENCE} Print the label first.</p>"


def rows(data: bytes) -> list[tuple[str | None, str]]:
    parsed = parse(data, ParseLimits())
    return [(block.section, parsed.text[block.start : block.end]) for block in parsed.blocks]


def test_the_main_content_is_kept_with_its_sections_and_the_rest_is_not() -> None:
    page = files.html(
        "Shop",
        f"<nav><a href=/>Home</a> <a href=/x>Offers</a></nav><script>var secret</script><main>{MAIN}</main>"
        "<footer>All rights reserved</footer>",
    )
    found = rows(page)
    assert ("Returns", SENTENCE) in found
    assert ("Returns > How", f"{SENTENCE} Print the label first.") in found
    text = " ".join(text for _, text in found)
    assert not any(word in text for word in ("Offers", "secret", "rights"))


def test_lists_tables_and_code_keep_their_shape() -> None:
    page = files.html(
        "T",
        f"<main>{MAIN}<ul><li>one</li><li>two <code>inline</code> word</li></ul>"
        "<table><tr><th>Zone</th><th>Price</th></tr><tr><td>EU</td><td>5 <b>€</b></td></tr></table>"
        "<pre><code>if x:\n    y</code></pre></main>",
    )
    texts = [text for _, text in rows(page)]
    for expected in ("- one", "- two inline word", "Zone | Price", "EU | 5 €", "if x:\n    y"):
        assert expected in texts


def test_a_tiny_page_is_read_whole_under_its_title() -> None:
    assert rows(files.html("Hours", "<div>Open daily<br>9 to 5</div>")) == [("Hours", "Open daily\n9 to 5")]


def test_the_declared_character_set_is_used() -> None:
    page = '<html><head><meta charset="iso-8859-2"></head><body><p>Příliš žluťoučký kůň</p></body></html>'
    assert rows(page.encode("iso-8859-2"))[0][1] == "Příliš žluťoučký kůň"


def test_an_xml_declaration_does_no_harm() -> None:
    assert rows(b'<?xml version="1.0" encoding="utf-8"?><html><body><p>x y</p></body></html>') == [(None, "x y")]


@pytest.mark.parametrize(
    "data", [b"<html></html>", b"<html><body><script>x()</script></body></html>", b"<!-- x -->", b" "]
)
def test_a_page_without_text_fails_with_a_sentence(data: bytes) -> None:
    with pytest.raises(IngestionFailure, match=r"^The HTML file .*\.$"):
        parse(data, ParseLimits())


def test_what_follows_the_end_of_the_page_is_kept() -> None:
    assert rows(b"<html><body><p>x</p></body></html><body><p>after") == [(None, "x"), (None, "after")]


def test_deep_nesting_is_read_to_the_end_or_refused() -> None:
    def nested(depth: int) -> bytes:
        return b"<p>before</p>" + b"<div>" * depth + b"deep" + b"</div>" * depth + b"<p>after</p>"

    assert [text for _, text in rows(nested(1_000))] == ["before", "deep", "after"]
    with pytest.raises(IngestionFailure, match="damaged"):
        rows(nested(50_000))


@pytest.mark.parametrize(
    ("tag", "language"), [("de-AT", "de"), ("EN", "en"), ("german", None), ("", None), ("x", None)]
)
def test_what_the_page_says_of_its_language(tag: str, language: str | None) -> None:
    page = f'<!DOCTYPE html><html lang="{tag}"><body><p>Some words.</p></body></html>'.encode()
    assert parse(page, ParseLimits()).language == language
