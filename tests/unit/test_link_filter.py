"""Links, pictures and HTML of answers: a hostile corpus, cut into every kind of pieces, renders no foreign address."""

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from domain.guarding.link_filter import LinkFilter

CORPUS: list[str] = json.loads((Path(__file__).parents[1] / "fixtures" / "hostile_links.json").read_text("utf-8"))
HOSTS = ("good.test", "*.good.test")
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ALLOWED = re.compile(r"(?:https://(?:[a-z]+\.)?|www\.)good\.test(?:[/?#][^\"'`@\\]*)?")
LITERAL = re.compile(
    r"(?:https?|ftp)://[^\s<]+|(?<![a-z0-9])www\.[^\s<]+|\b(?:javascript|xmpp|mailto):\S+", re.IGNORECASE
)
HARMLESS_HTML = re.compile(r"<br ?/?>|</?[A-Za-z][\w.,? ]*>", re.IGNORECASE)


def filtered(text: str, size: int | None = None, hosts: tuple[str, ...] = HOSTS) -> str:
    links = LinkFilter(hosts)
    pieces = [text] if size is None else [text[at : at + size] for at in range(0, len(text), size)]
    return "".join(links.feed(piece) for piece in pieces) + links.finish()


def addresses(markdown: str) -> list[str]:
    """What a renderer would link to, load or run: CommonMark's own, HTML as a browser, and GFM's literals in text."""
    found = []
    for block in MARKDOWN.parse(markdown):
        for token in [block, *(block.children or [])]:
            found += [str(token.attrs[name]) for name in ("href", "src") if name in token.attrs]
            if token.type in ("html_inline", "html_block"):
                found += [tag for tag in re.findall(r"<[^>]*>?", token.content) if not HARMLESS_HTML.fullmatch(tag)]
            if token.type == "text":
                found += LITERAL.findall(token.content)
    return found


def foreign(markdown: str) -> list[str]:
    return [url for url in addresses(markdown) if not ALLOWED.fullmatch(url.rstrip(".,;:!?"))]


def test_the_corpus_is_hostile() -> None:
    """A corpus that renders nothing without the filter would show nothing with it."""
    assert sum(bool(foreign(text)) for text in CORPUS) > 0.75 * len(CORPUS)


@pytest.mark.parametrize("size", [None, 1, 2, 3, 5, 17])
def test_no_foreign_address_of_the_corpus_is_rendered(size: int | None) -> None:
    rendered = {text: found for text in CORPUS if (found := foreign(filtered(text, size)))}
    assert rendered == {}


def test_nor_of_two_of_them_one_after_the_other() -> None:
    chance = random.Random(7)
    for _ in range(3_000):
        text = chance.choice(["", " ", "\n", "\n\n", "x"]).join(chance.sample(CORPUS, 2))
        shown = filtered(text, chance.choice([None, 1, 4]))
        assert not foreign(shown), (text, shown)


PARTS = "[ ] ( ) < > ! : // http https www . evil.test good.test ``` ~~~ ` - \\ &colon; &#47; @ \" ' a x b img".split()  # noqa: SIM905


@given(
    st.lists(st.sampled_from([*PARTS, "\n", "\n\n", " ", "    ", "> ", "src=", "\t"]), max_size=24), st.integers(1, 9)
)
def test_nor_of_what_chance_makes_of_the_parts(parts: list[str], size: int) -> None:
    text = "".join(parts)
    shown = filtered(text, size)
    assert not foreign(shown), (text, shown)


def test_links_become_their_text_and_pictures_their_alternative() -> None:
    assert filtered("See [the guide](http://evil.test/x).") == "See the guide."
    assert filtered("![a cat](http://evil.test/x.png) sits") == "a cat sits"
    assert filtered("<img src='http://evil.test' alt='a cat'>") == "a cat"
    assert filtered("Go to https://evil.test/x, now.") == "Go to ‹link removed›, now."


def test_allowed_hosts_stay() -> None:
    for text in (
        "See [the guide](https://good.test/a?b=1#c).",
        "![logo](https://cdn.good.test/l.png)",
        "<https://good.test/>",
        "Read https://good.test/a, (https://www.good.test/b) and **https://good.test/c**.",
    ):
        assert filtered(text) == filtered(text, 1) == text
    assert filtered("[x](https://good.test)", hosts=()) == "x"
    assert filtered("[x](https://good.test)", hosts=("*.good.test",)) == "x"


def test_ordinary_text_stays_as_it_is() -> None:
    for text in (
        "It costs 40 euros [1], not 50 [2]. Is 3 < 4? Yes! AT&T says 1/2 of a < b.\n\n- one\n- two\n",
        "Use `List<String>` or Map<K, V>, e.g. in C++: a::b. Ratio 16:9, time 12:30, 和/或。",
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n> quoted\n\n1. first\n2. second\n",
        "```html\n<a href='http://evil.test'>[x](http://evil.test)</a>\n```\nafter",
        "an email to help@shop.test, wow! #tag *bold* _it_ ~~no~~ snake_case \\* 100%",
    ):
        assert filtered(text) == text
        assert filtered(text, 1) == text


def test_only_what_may_begin_a_link_waits() -> None:
    links = LinkFilter(())
    assert [links.feed(word) for word in ("It ", "costs ", "40 ", "euros", ".")] == [
        "It ",
        "costs ",
        "40 ",
        "euros",
        ".",
    ]
    assert links.feed(" See [the") == " See "
    assert links.feed(" guide]") == ""
    assert links.feed("(http://evil.test") == ""
    assert links.feed(") now") == "the guide now"
    assert links.feed(" at ht") == " at "
    assert links.feed("tp://evil.test") == ""
    assert links.feed(" ok") == "‹link removed› ok"
