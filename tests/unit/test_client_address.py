"""Whose address a request counts under: proxies are believed where they are trusted, clients never."""

from typing import Any

import pytest
from pydantic import ValidationError
from starlette.types import Scope

from configs.settings import Settings
from deployments.gateway.client_address import Client, TrustedProxies

PROXIES = TrustedProxies(("10.0.0.0/8", "2001:db8:1::/48"))


def scope_of(peer: str | None, *headers: tuple[str, str], scheme: str = "http") -> Scope:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http", "scheme": scheme, "client": (peer, 4711) if peer else None, "headers": raw}


def forwarded(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple(("x-forwarded-for", value) for value in values)


@pytest.mark.parametrize(
    ("peer", "values", "address"),
    [
        ("203.0.113.7", (), "203.0.113.7"),
        ("203.0.113.7", ("198.51.100.1",), "203.0.113.7"),
        ("127.0.0.1", (), "127.0.0.1"),
        ("127.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("127.0.0.1", ("1.1.1.1, 198.51.100.1",), "198.51.100.1"),
        ("127.0.0.1", ("1.1.1.1", "198.51.100.1"), "198.51.100.1"),
        ("127.0.0.1", ("1.1.1.1, 198.51.100.1, 10.2.3.4",), "198.51.100.1"),
        ("127.0.0.1", ("10.9.9.9, 10.2.3.4",), "10.9.9.9"),
        ("::1", ("2001:db8:2::5",), "2001:db8:2::5"),
        ("2001:db8:1::9", ("[2001:DB8:2::5]:443",), "2001:db8:2::5"),
        ("::ffff:127.0.0.1", ("198.51.100.1:5000",), "198.51.100.1"),
        ("::ffff:203.0.113.7", ("198.51.100.1",), "203.0.113.7"),
        ("127.0.0.1", ("nonsense, 198.51.100.1",), "198.51.100.1"),
        ("127.0.0.1", ("198.51.100.1, nonsense",), "127.0.0.1"),
        ("127.0.0.1", ("198.51.100.1,",), "127.0.0.1"),
        ("127.0.0.1", ("fe80::1%eth0",), "127.0.0.1"),
        ("127.0.0.1", ("1.2.3.4\xff",), "127.0.0.1"),
        ("127.0.0.1", ("198.51.100.1," + "10.0.0.1," * 5_000 + "10.0.0.2",), "10.0.0.1"),
    ],
)
def test_the_rightmost_address_that_is_no_proxy_counts(peer: str, values: tuple[str, ...], address: str) -> None:
    assert PROXIES.client(scope_of(peer, *forwarded(*values))).address == address


def test_cloudflare_is_believed_only_where_the_whole_way_is_trusted() -> None:
    told = ("cf-connecting-ip", "198.51.100.1")
    assert PROXIES.client(scope_of("127.0.0.1", told, *forwarded("10.2.3.4"))).address == "198.51.100.1"
    assert PROXIES.client(scope_of("127.0.0.1", told, *forwarded("203.0.113.7"))).address == "203.0.113.7"
    assert PROXIES.client(scope_of("203.0.113.7", told)).address == "203.0.113.7"
    assert PROXIES.client(scope_of("127.0.0.1", told, told, *forwarded("10.2.3.4"))).address == "10.2.3.4"
    assert PROXIES.client(scope_of("127.0.0.1", ("cf-connecting-ip", "x"))).address == "127.0.0.1"


def test_the_scheme_is_taken_from_trusted_proxies() -> None:
    told = ("x-forwarded-proto", "https")
    assert PROXIES.client(scope_of("127.0.0.1", told)).secure
    assert not PROXIES.client(scope_of("203.0.113.7", told)).secure
    assert not PROXIES.client(scope_of("127.0.0.1", ("x-forwarded-proto", "https, http"))).secure
    assert not PROXIES.client(scope_of("127.0.0.1", ("x-forwarded-proto", "httpsx"))).secure
    assert PROXIES.client(scope_of("203.0.113.7", scheme="https")).secure


def test_a_connection_without_an_address_has_none() -> None:
    assert PROXIES.client(scope_of(None, *forwarded("198.51.100.1"))) == Client("", False)
    assert PROXIES.client(scope_of("somewhere", *forwarded("198.51.100.1"))) == Client("", False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("allowed_origins", "*"),
        ("allowed_origins", "https://*.example.com"),
        ("allowed_origins", "https://shop.example/"),
        ("allowed_origins", "https://u@shop.example"),
        ("allowed_origins", "null"),
        ("frame_ancestors", "https://shop.example; script-src *"),
        ("frame_ancestors", "https://shop.example\r\nX-Evil: 1"),
        ("frame_ancestors", "https://a.example https://b.example"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("trusted_proxies", "anyone"),
    ],
)
def test_settings_of_the_edge_are_checked(field: str, value: str) -> None:
    fields: dict[str, Any] = {field: (value,)}
    with pytest.raises(ValidationError):
        Settings(_env_file=None, **fields)


def test_settings_of_the_edge_take_what_is_right() -> None:
    settings = Settings(
        _env_file=None,
        allowed_origins=("https://shop.example:8443",),
        frame_ancestors=("http://localhost:3000",),
        trusted_proxies=("10.0.0.0/8", "2001:db8::1"),
    )
    assert settings.allowed_origins == ("https://shop.example:8443",)
    assert settings.trusted_proxies == ("10.0.0.0/8", "2001:db8::1/128")
