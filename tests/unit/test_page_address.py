"""One spelling for one page: RFC 3986's own examples, and what only counts clicks."""

import pytest

from domain.page_address import canonical, extension_of
from domain.web_address import parse_address


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://Example.COM:80", "http://example.com/"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("http://example.com/a/b/c/./../../g", "http://example.com/a/g"),
        ("http://example.com/../../a/.", "http://example.com/a/"),
        ("http://example.com/a/..", "http://example.com/"),
        ("http://example.com/a//b/", "http://example.com/a//b/"),
        ("http://example.com/%7euser/%c3%a9%2F", "http://example.com/~user/%C3%A9%2F"),
        ("http://example.com/?", "http://example.com/"),
        ("http://example.com/?b=2&a=%41#x", "http://example.com/?b=2&a=A"),
        ("http://example.com/?utm_source=a&x=1&fbclid=2&utm=3", "http://example.com/?x=1&utm=3"),
        ("http://example.com/?gclid=1", "http://example.com/"),
        ("http://example.com/?a=%26&b=", "http://example.com/?a=%26&b="),
    ],
)
def test_one_spelling(url: str, expected: str) -> None:
    address = canonical(parse_address(url))
    assert address.url == expected
    assert canonical(address) == address


@pytest.mark.parametrize(
    ("url", "extension"),
    [("/a.PDF", "pdf"), ("/a.b/c", ""), ("/.well-known", ""), ("/x.html?y=a.zip", "html"), ("/", ""), ("/v1.2/", "")],
)
def test_endings(url: str, extension: str) -> None:
    assert extension_of(parse_address(f"http://example.com{url}")) == extension
