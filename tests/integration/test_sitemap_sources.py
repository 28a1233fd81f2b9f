"""Addresses and sitemaps as sources: what they list, what has changed, and files that mean harm."""

import gzip

import pytest

from domain.sources import ColumnMapping
from pipelines.sources import site
from tests.fixtures import files
from tests.fixtures.site import Web
from tests.fixtures.sources import Read, parquet
from tests.fixtures.web_server import response


async def test_what_has_not_changed_is_not_read_again(web: Web) -> None:
    etag = {"etag": '"v1"'}
    web.page("/a.html", **etag)
    web.page("/b.html", last_modified="Sat, 28 Nov 2026 08:00:00 GMT")
    web.page("/c.html")
    paths = ["/a.html", "/b.html", "/c.html"]
    first = await web.urls(paths)
    assert first.items["/a.html"].metadata == {"etag": '"v1"'}
    first = Read({f"{web.base}{key}": item for key, item in first.items.items()}, {}, {}, [])
    web.server.requests.clear()
    web.server.pages["/a.html"] = web.server.pages["/b.html"] = response(status="304 Not Modified")
    again = await web.urls(paths, first)
    assert again.unchanged == ["/a.html", "/b.html"]
    assert list(again.items) == ["/c.html"]
    sent = "".join(web.server.requests).lower()
    assert 'if-none-match: "v1"' in sent
    assert "if-modified-since: sat, 28 nov 2026 08:00:00 gmt" in sent
    assert sent.count("if-") == 2
    unasked = await web.urls(["/a.html"])
    assert unasked.failures == {"/a.html": "The address answered with status 304."}


async def test_addresses_of_archives_and_tables(web: Web) -> None:
    web.put("/docs.zip", files.archive({"a.txt": b"A", "b/c.md": b"# C"}), content_type="application/zip")
    web.put("/t.parquet", parquet({"body": ["One.", "Two."]}), content_type="application/octet-stream")
    web.put("/bad.parquet", parquet({"text": ["One."]}))
    found = await web.urls(
        ["/docs.zip", "/t.parquet", "/bad.parquet", "http://inside.example/x"], columns=ColumnMapping(text=("body",))
    )
    assert list(found.items) == ["/docs.zip/a.txt", "/docs.zip/b/c.md", "/t.parquet#1", "/t.parquet#2"]
    assert found.failures == {
        "/bad.parquet": "The table has no column `body`; it has `text`.",
        "http://inside.example/x": "This address cannot be fetched: it does not belong to the public web.",
    }


SITEMAP = (
    '<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:i="http://x">{}</urlset>'
)
INDEX = '<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{}</sitemapindex>'


def entries(kind: str, *urls: str) -> str:
    return "".join(f"<{kind}><i:loc xmlns:i='http://y'>no</i:loc><loc> {url} </loc></{kind}>" for url in urls)


async def test_a_sitemap_and_an_index_of_them(web: Web) -> None:
    base = web.base
    web.put(
        "/sitemap.xml",
        INDEX.format(entries("sitemap", f"{base}/1.xml", f"{base}/2.xml.gz", f"{base}/3.txt", f"{base}/sitemap.xml")),
    )
    image = f"<url><loc>{base}/c</loc><i:image xmlns:i='http://z'><i:loc>{base}/picture.png</i:loc></i:image></url>"
    web.put("/1.xml", SITEMAP.format(entries("url", f"{base}/a", f"{base}/b?x=1&amp;y=2", f"{base}/a#again") + image))
    web.put("/2.xml.gz", gzip.compress(SITEMAP.format(entries("url", f"{base}/d", "http://other.example/e")).encode()))
    web.put("/3.txt", f"{base}/f\nno address\n")
    for path in ("/a", "/b?x=1&y=2", "/c", "/d", "/f"):
        web.page(path, "/unlisted")
    found = await web.sitemap()
    assert list(found.items) == ["/a", "/b?x=1&y=2", "/c", "/d", "/f"]
    assert found.failures == {"http://other.example/e": site.ELSEWHERE}
    assert "/unlisted" not in web.asked()
    few = await web.sitemap(max_pages=2)
    assert list(few.items) == ["/a", "/b?x=1&y=2"]
    assert few.failures == {"": "The sitemap lists more than 2 pages; the rest was left out."}


LAUGHS = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + (
    "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
)


@pytest.mark.parametrize(
    "data",
    [
        b"<html><p>no sitemap</p>",
        b"",
        b"no addresses here",
        SITEMAP.format("<url><loc>http://files.example/").encode()[:-30],
        gzip.compress(bytes(60 * 1024 * 1024)),
        gzip.compress(b"<urlset>")[:-5],
        (LAUGHS + "]><urlset><url><loc>&j;</loc></url></urlset>").encode(),
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><urlset><url><loc>&e;</loc></url></urlset>',
        b"<urlset>" + b"<url>" * 200_000,
    ],
)
async def test_sitemaps_that_are_none_or_mean_harm(web: Web, data: bytes) -> None:
    web.put("/sitemap.xml", data)
    found = await web.sitemap()
    assert found.items == {}
    assert all(reason.endswith(".") and "root:" not in reason for reason in found.failures.values())
    assert web.asked().count("/sitemap.xml") == 1
