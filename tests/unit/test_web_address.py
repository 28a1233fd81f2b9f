"""Which addresses may be fetched: spellings that have fooled others, and every kind of network that is not public."""

from ipaddress import ip_address

import pytest

from domain.web_address import MAX_CHARS, UnsafeAddress, WebAddress, is_public, networks_of, parse_address

ODD = [
    "",
    "example.com",
    "//example.com/",
    "http:/example.com",
    "http:///etc/passwd",
    "http://",
    "https://:443/",
    "file:///etc/passwd",
    "ftp://example.com/a",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/stat",
    "data:text/plain,hello",
    "javascript:alert(1)",
    "jar:http://example.com!/a",
    "ldap://example.com/",
    " http://example.com/",
    "http://example.com/ a",
    "http://exam\tple.com/",
    "http://example.com/\r\nHost: internal",
    "http://example.com/\x00",
    "http://exa\x00mple.com/",
    "http://user@example.com/",
    "http://user:password@127.0.0.1/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1%20@example.com/",
    "http://example.com:80@127.0.0.1/",
    "http://example.com\\@127.0.0.1/",
    "http:\\\\127.0.0.1/",
    "http://example.com\\.internal/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0177.0.0.1/",
    "http://127.0.0.01/",
    "http://127.000.000.001/",
    "http://0/",
    "http://0x0/",
    "http://0x/",
    "http://256.256.256.256/",
    "http://1.2.3.4.5/",
    "http://example.1/",
    "http://127.0.0.1./",
    "http://localhost./",
    "http://example.com./",
    "http://example..com/",
    "http://.example.com/",
    "http://-example.com/",
    "http://example-.com/",
    "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 130 + "com/",
    "http://exa_mple.com/",
    "http://exa%6dple.com/",
    "http://127%2e0%2e0%2e1/",
    "http://127。0。0。1/",
    "http://127．0．0．1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://ⓔxample.com/",
    "http://exämple.com/",
    "http://loc\u00adalhost/",
    "http://localhost\u200b/",
    "http://[::1/",
    "http://::1/",
    "http://[::1]a/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[127.0.0.1]/",
    "http://[::1].example.com/",
    "http://[v1.fe80::a]/",
    "http://example.com:/",
    "http://example.com:0/",
    "http://example.com:22/",
    "http://example.com:25/",
    "http://example.com:445/",
    "http://example.com:65536/",
    "http://example.com:99999/",
    "http://example.com:80:80/",
    "http://example.com:+80/",
    "http://example.com:８０/",
    "http://example.com:-1/",
    "http://example.com/\ud800",
    "http://example.com/" + "a" * MAX_CHARS,
]

CLOSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "fec0::1",
    "ff02::1",
    "2600::1%eth0",
]


@pytest.mark.parametrize("url", ODD)
def test_an_odd_spelling_is_refused(url: str) -> None:
    with pytest.raises(UnsafeAddress):
        parse_address(url)


@pytest.mark.parametrize("text", CLOSED)
def test_what_is_not_public_is_closed(text: str) -> None:
    assert not is_public(ip_address(text))


def test_the_table_is_long() -> None:
    assert len(set(ODD)) == len(ODD)
    assert len(ODD) + len(CLOSED) >= 120


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2600::1",
        "2a00:1450::1",
    ],
)
def test_the_public_internet_is_open(text: str) -> None:
    assert is_public(ip_address(text))


def test_networks_of_ones_own_can_be_opened_and_no_more() -> None:
    allowed = networks_of(["10.1.0.0/16", "fd00:1::/32"])
    assert is_public(ip_address("10.1.2.3"), allowed)
    assert is_public(ip_address("fd00:1::5"), allowed)
    assert is_public(ip_address("8.8.8.8"), allowed)
    for other in ("10.2.0.1", "::ffff:10.1.2.3", "fd00:2::1", "127.0.0.1"):
        assert not is_public(ip_address(other), allowed)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.com", WebAddress("http", "example.com", 80, "/")),
        ("HTTPS://Example.COM/A?b=c#d", WebAddress("https", "example.com", 443, "/A?b=c")),
        ("https://xn--exmple-cua.com:8443/ü", WebAddress("https", "xn--exmple-cua.com", 8443, "/%C3%BC")),
        ("http://example.com?q=1", WebAddress("http", "example.com", 80, "/?q=1")),
        ("http://8.8.8.8:8080/a%20b", WebAddress("http", "8.8.8.8", 8080, "/a%20b")),
        ("http://[2600:0::1]/", WebAddress("http", "2600::1", 80, "/")),
        ("http://3com.com/", WebAddress("http", "3com.com", 80, "/")),
        ("http://example.com/@user:1/..//", WebAddress("http", "example.com", 80, "/@user:1/..//")),
    ],
)
def test_plain_addresses_are_understood(url: str, expected: WebAddress) -> None:
    found = parse_address(url)
    assert found == expected
    assert parse_address(found.url) == found


def test_redirects_are_resolved_and_checked() -> None:
    here = parse_address("https://example.com/a/b?c")
    assert here.follow("d").url == "https://example.com/a/d"
    assert here.follow("/e").url == "https://example.com/e"
    assert here.follow("//other.example/").host == "other.example"
    for bad in (
        "http://example.com/",
        "file:///etc/passwd",
        "https://user@example.com/",
        "https://0x7f000001/",
        "\\\\a",
    ):
        with pytest.raises(UnsafeAddress):
            here.follow(bad)
