"""Crawls as sources: a real server, robots.txt, and pages that mean harm."""

from typing import Any

import pytest

from domain.sources import CrawlSource
from pipelines.sources import courtesy, robots, site
from pipelines.sources.crawl import Crawl
from pipelines.sources.opening import open_source
from storage.web import FetchFailed
from tests.fixtures import files
from tests.fixtures.site import HTML, Web
from tests.fixtures.sources import read
from tests.fixtures.web_server import local_fetcher, response


async def test_links_are_followed_to_a_depth_and_each_page_is_read_once(web: Web) -> None:
    web.page(
        "/",
        "/a",
        "b?x=1#part",
        "/a/../a",
        "/%61",
        "//files.example:1/elsewhere",
        "mailto:x@example.com",
        "javascript:0",
    )
    web.page("/a", "/", "/a?utm_source=mail", "/deep", "/picture.png", "/program.exe", "/x.css")
    web.page("/b?x=1", "/deep")
    web.page("/deep", "/deeper")
    web.page("/deeper")
    found = await web.crawl(depth=2)
    assert list(found.items) == ["/", "/a", "/b?x=1", "/deep"]
    assert found.failures == {}
    assert web.asked() == ["/robots.txt", "/", "/a", "/b?x=1", "/deep"]
    item = found.items["/a"]
    assert (item.name, item.media_type, item.source) == ("a.html", "text/html", f"{web.base}/a")


async def test_only_the_sites_own_hosts(web: Web) -> None:
    port = web.server.port
    web.page(
        "/", f"http://other.example:{port}/o", f"http://inside.example:{port}/i", f"http://www.files.example:{port}/w"
    )
    for path in ("/o", "/i", "/w"):
        web.page(path)
    assert list((await web.crawl()).items) == ["/"]
    found = await web.crawl(hosts=("www.files.example", "inside.example"))
    assert set(found.items) == {"/", f"http://www.files.example:{port}/w"}
    assert "/i" not in web.asked()


async def test_robots_txt_is_obeyed(web: Web) -> None:
    web.put(
        "/robots.txt",
        "User-agent: *\nDisallow: /\n\nUser-agent: loquent\nDisallow: /private\n"
        "Disallow: /*.pdf$\nAllow: /private/open\n",
    )
    web.page("/", "/private/x", "/private/open", "/x.pdf", "/x.pdf?y", "/public", "/moved")
    for path in ("/private/x", "/private/open", "/public"):
        web.page(path)
    web.put("/x.pdf", files.pdf(["x"]), content_type="application/pdf")
    web.put("/x.pdf?y", files.pdf(["y"]), content_type="application/pdf")
    web.server.pages["/moved"] = response(status="302 Found", location="/private/x")
    found = await web.crawl()
    assert set(found.items) == {"/", "/private/open", "/public", "/x.pdf?y"}
    assert found.failures == {"/moved": robots.DISALLOWED}
    assert (await web.crawl("/private/x")).failures == {"/private/x": robots.DISALLOWED}


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        (response(status="404 Not Found"), True),
        (response(status="403 Forbidden"), True),
        (response(status="500 Oh no"), False),
        (response(status="429 Too Many Requests"), False),
        (response(b"\xff\xfe\x00garbage\n" * 100), True),
        (response(b"User-agent: *\nDisallow: /" + b"*a" * 200_000), True),
        (response(b"# long\n" * 100_000 + b"User-agent: *\nDisallow: /"), True),
        (b"", False),
    ],
)
async def test_rules_that_cannot_be_had_or_mean_harm(web: Web, answer: bytes, allowed: bool) -> None:
    web.server.pages["/robots.txt"] = answer
    web.page("/" + "a" * 500)
    assert bool((await web.crawl("/" + "a" * 500)).items) is allowed


async def test_a_host_is_asked_no_faster_than_it_wants(web: Web) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    web.put("/robots.txt", "User-agent: *\nCrawl-delay: 3600\n")
    web.page("/", "/a", "/b")
    web.page("/a")
    web.page("/b")
    spec = CrawlSource(url=web.base, depth=1)
    assert len((await read(Crawl(spec, local_fetcher(), pause=note))).items) == 3
    assert len(pauses) == 2
    assert all(robots.MOST_DELAY - 5 < pause <= 2 * robots.MOST_DELAY for pause in pauses)


async def test_pages_say_what_may_be_done_with_them(web: Web) -> None:
    web.page("/", "/noindex", "/nofollow", '<a rel="nofollow" href="/r">x</a>', "/header", "/others", "/none")
    web.page("/noindex", "/n1", head='<meta name="ROBOTS" content="NoIndex">')
    web.page("/nofollow", "/n2", head='<meta name="loquent" content="nofollow">')
    web.page("/header", "/n3", x_robots_tag="noindex")
    web.page("/others", "/n4", x_robots_tag="otherbot: noindex, nofollow", head='<meta name="otherbot" content="none">')
    web.page("/none", "/n5", x_robots_tag="max-snippet: 5, loquent: none")
    for path in ("/n1", "/n2", "/n3", "/n4", "/n5", "/r"):
        web.page(path)
    found = await web.crawl()
    assert set(found.items) == {"/", "/nofollow", "/others", "/n1", "/n3", "/n4"}
    assert found.failures == dict.fromkeys(("/noindex", "/header", "/none"), site.NOT_INDEXED)


async def test_a_base_moves_relative_links(web: Web) -> None:
    web.page("/a/b", "c", head='<base href="/x/y/">')
    web.page("/x/y/c")
    assert set((await web.crawl("/a/b")).items) == {"/a/b", "/x/y/c"}
    web.page("/a/b", "c", head='<base href="http://inside.example/">')
    assert set((await web.crawl("/a/b")).items) == {"/a/b"}


async def test_bad_pages_fail_alone(web: Web) -> None:
    web.page("/", "/500", "/gone", "/endless", "/private", "/loop", "/empty", "/lie.pdf", "/picture", "/good")
    web.put("/500", "no", status="500 Oh no")
    web.server.pages["/endless"] = response(b"x", content_length=str(10**9), **HTML)
    web.server.pages["/private"] = response(status="302 Found", location="http://inside.example/")
    web.server.pages["/loop"] = response(status="302 Found", location="/loop")
    web.put("/empty", "", **HTML)
    web.put("/lie.pdf", "no pdf", content_type="application/pdf")
    web.put("/picture", b"\x89PNG", content_type="image/png")
    web.page("/good")
    found = await web.crawl()
    assert set(found.items) == {"/", "/good"}
    assert found.failures == {
        "/500": "The address answered with status 500.",
        "/gone": "The address answered with status 404.",
        "/endless": "What the address holds is larger than 50 MiB.",
        "/private": "This address cannot be fetched: it does not belong to the public web.",
        "/loop": "The address leads to another one too many times.",
        "/empty": "The file is empty.",
        "/lie.pdf": "The file is named .pdf, but its content is something else.",
        "/picture": "The address holds a kind of content that is not supported.",
    }


async def test_a_page_that_never_ends_is_left(web: Web) -> None:
    web.page("/", "/never", "/good")
    web.page("/good")
    web.server.pages["/never"] = [response(b"", content_length="", **HTML), b"<p>and on</p>" * 10]
    source = open_source(CrawlSource(url=web.base, depth=1), local_fetcher(total_seconds=0.5))
    found = await read(source)
    assert found.failures == {f"{web.base}/never": "The address took too long to answer."}
    assert set(found.items) == {f"{web.base}/", f"{web.base}/good"}


async def test_the_same_content_is_one_document_and_pages_are_counted(web: Web) -> None:
    web.page("/", *[f"/calendar?day={day}" for day in range(50)])
    for day in range(50):
        web.put(f"/calendar?day={day}", "<html><p>Nothing today.</p>", **HTML)
    found = await web.crawl(max_pages=10)
    assert set(found.items) == {"/", "/calendar?day=0"}
    assert found.failures == {"": "There are more than 10 pages; the rest was left out."}
    assert len(web.asked()) == 11


async def test_a_link_farm_without_end_is_bounded(web: Web) -> None:
    class Endless(dict[str, Any]):
        def get(self, path: str, default: Any = None) -> Any:
            if path == "/robots.txt":
                return default
            here = path.rstrip("/")
            return response(files.html("t", f'<p>{path}</p><a href="{here}/x">1</a><a href="{here}/y">2</a>'), **HTML)

    web.server.pages = Endless()
    assert len((await web.crawl(depth=10, max_pages=30)).items) == 30


async def test_the_first_page_may_lead_to_its_own_www(web: Web) -> None:
    port = web.server.port
    web.server.pages["/"] = response(status="301 Moved", location=f"http://www.files.example:{port}/home")
    web.page("/home", "/next")
    web.page("/next")
    found = await web.crawl()
    assert set(found.items) == {"/", f"http://www.files.example:{port}/next"}


async def test_the_door_says_what_was_answered(web: Web) -> None:
    web.put("/x", "", status="503 Busy")
    with pytest.raises(FetchFailed) as caught:
        async with local_fetcher().get(f"{web.base}/x", 10, None):
            pass
    assert caught.value.answered == 503


def busy(status: str, headers: dict[str, Any], then: bytes) -> list[bytes]:
    """What a busy server answers, one after the other."""
    return [response(status=status, **headers), then]


class Counting(dict[str, Any]):
    """Pages that answer otherwise with each request: lists of answers, of which the last one stays."""

    def get(self, path: str, default: Any = None) -> Any:
        found = super().get(path, default)
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        ("503 Busy", {"retry_after": "7"}, [7]),
        ("429 Too Many Requests", {"retry_after": "7"}, [7]),
        ("429 Too Many Requests", {}, [courtesy.USUAL]),
        ("503 Busy", {"retry_after": "Mon, 01 Jan 2024 00:00:00 GMT"}, []),
    ],
)
async def test_a_busy_host_is_asked_again_when_it_says(
    web: Web, status: str, headers: dict[str, str], waits: list[float]
) -> None:
    web.page("/", "/a")
    web.page("/a")
    web.server.pages = Counting(web.server.pages)
    web.server.pages["/a"] = busy(status, headers, web.server.pages["/a"])
    web.server.pages["/robots.txt"] = busy(status, headers, response(b"User-agent: *\nAllow: /"))
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    found = await read(Crawl(CrawlSource(url=web.base, depth=1), local_fetcher(), pause=note))
    assert set(found.items) == {f"{web.base}/", f"{web.base}/a"}
    assert found.failures == {}
    # The clock does not move in the pauses of this test, so that all that follows a wait waits as long.
    assert [round(pause) for pause in pauses if pause > 0.5][:1] == waits
    assert web.asked().count("/a") == web.asked().count("/robots.txt") == 2


async def test_a_host_that_is_always_busy_is_left_and_one_that_asks_for_an_hour_not_asked_again(web: Web) -> None:
    web.page("/", "/a", "/b", "/c")
    web.page("/c")
    web.server.pages["/a"] = response(status="503 Busy", retry_after="1")
    web.server.pages["/b"] = response(status="503 Busy", retry_after="3600")

    async def at_once(_seconds: float) -> None:
        pass

    found = await read(Crawl(CrawlSource(url=web.base, depth=1), local_fetcher(), pause=at_once))
    assert {key.removeprefix(web.base): reason for key, reason in found.failures.items()} == {
        "/a": "The address answered with status 503.",
        "/b": "The address answered with status 503.",
        "/c": courtesy.LEFT_ALONE,
    }
    assert [web.asked().count(path) for path in ("/a", "/b", "/c")] == [courtesy.ATTEMPTS, 1, 0]


@pytest.mark.parametrize("said", ["", "soon", "-5", "1e9", "Mon, 99 Foo 2024", "٣"])
async def test_a_retry_after_that_says_nothing_is_none(web: Web, said: str) -> None:
    head = response(status="503 Busy", x="y").decode("latin-1").replace("x: y", "retry-after: ?")
    web.server.pages["/x"] = head.encode().replace(b"?", said.encode())
    with pytest.raises(FetchFailed) as caught:
        async with local_fetcher().get(f"{web.base}/x", 10, None):
            pass
    assert caught.value.retry_after is None
