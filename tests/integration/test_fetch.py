"""Documents fetched from the web: a real server, real TLS, and names that answer one thing and then another."""

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest

from domain.errors import TooLarge, UnsupportedMedia
from domain.web_address import UnsafeAddress
from storage.web import FetchFailed, SafeFetcher, SafeTransport, fetcher
from tests.fixtures.web_server import (
    LOCAL,
    LOOPBACK,
    NAMES,
    TwinResolver,
    WebServer,
    local_fetcher,
    response,
    tls_for,
)

TYPES = {"text/plain", "text/html"}


async def read(by: SafeFetcher, url: str, max_bytes: int = 10_000) -> bytes:
    async with by.get(url, max_bytes, TYPES) as fetched:
        return b"".join([chunk async for chunk in fetched.chunks])


async def test_a_file_is_read_under_its_name(web_server: WebServer) -> None:
    web_server.pages["/a?b=c"] = response(b"Hello.", content_type="text/plain; charset=utf-8")
    url = f"http://files.example:{web_server.port}/a?b=c#part"
    assert await read(local_fetcher(), url) == b"Hello."
    [request] = web_server.requests
    assert request.startswith("GET /a?b=c HTTP/1.1\r\n")
    headers = dict(line.split(": ", 1) for line in request.lower().strip().split("\r\n")[1:])
    assert headers["host"] == f"files.example:{web_server.port}"
    assert headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "referer", "x-request-id"} & set(headers)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://inside.example:{port}/",
        "http://both.example:{port}/",
        "http://metadata.example/latest/meta-data/",
        "http://mapped.example:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://2130706433:{port}/",
        "http://localhost:{port}/",
    ],
)
async def test_nobody_reaches_the_inside(web_server: WebServer, url: str) -> None:
    """Also a name of this machine's own hosts file, by the system's resolver."""
    names = TwinResolver(NAMES)
    closed = SafeFetcher() if "localhost" in url else SafeFetcher(find=names)
    with pytest.raises(UnsafeAddress):
        await read(closed, url.format(port=web_server.port))
    assert web_server.requests == []


async def test_a_name_that_changes_its_mind_is_looked_up_once(web_server: WebServer) -> None:
    """DNS rebinding: what was checked is what is connected to."""
    web_server.pages["/"] = response(b"public")
    names = TwinResolver({"rebinding.example": [[LOOPBACK], ["10.0.0.7"]]})
    assert await read(SafeFetcher(LOCAL, find=names), f"http://rebinding.example:{web_server.port}/") == b"public"
    assert names.asked["rebinding.example"] == 1
    turned = TwinResolver({"rebinding.example": [["10.0.0.7"], [LOOPBACK]]})
    with pytest.raises(UnsafeAddress):
        await read(SafeFetcher(LOCAL, find=turned), f"http://rebinding.example:{web_server.port}/")
    assert len(web_server.requests) == 1


async def test_redirects_are_followed_three_times_and_checked_each_time(web_server: WebServer) -> None:
    base = f"http://files.example:{web_server.port}"
    for step in range(5):
        web_server.pages[f"/{step}"] = response(status="302 Found", location=f"/{step + 1}")
    web_server.pages["/5"] = response(b"there")
    assert await read(local_fetcher(), f"{base}/2") == b"there"
    with pytest.raises(FetchFailed, match="too many"):
        await read(local_fetcher(), f"{base}/1")
    web_server.requests.clear()
    inside = [
        f"http://inside.example:{web_server.port}/5",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        f"http://user@files.example:{web_server.port}/5",
        f"http://0x7f000001:{web_server.port}/5",
        "//[::1]/",
    ]
    for location in inside:
        web_server.pages["/out"] = response(status="301 Moved Permanently", location=location)
        with pytest.raises(UnsafeAddress):
            await read(local_fetcher(), f"{base}/out")
    assert len(web_server.requests) == len(inside)


async def test_a_redirect_to_a_rebound_name_is_looked_up_anew(web_server: WebServer) -> None:
    names = {"rebinding.example": [[LOOPBACK], ["10.0.0.7"]]}
    web_server.pages["/"] = response(status="302 Found", location="/again")
    web_server.pages["/again"] = response(b"inside")
    with pytest.raises(UnsafeAddress):
        await read(local_fetcher(names=names), f"http://rebinding.example:{web_server.port}/")


@pytest.mark.parametrize(
    ("page", "error"),
    [
        (response(b"x" * 101, content_type="text/plain"), TooLarge),
        (response(b"x" * 101, content_type="text/plain", content_length=""), TooLarge),
        (response(b"x", content_length="9" * 12), TooLarge),
        ([response(b"", content_length="", content_type="text/html"), b"x" * 90, b"x" * 90], TooLarge),
        (response(b"x", content_type="image/png"), UnsupportedMedia),
        (response(b"x", content_type="application/x-sh"), UnsupportedMedia),
        (response(b"x", content_encoding="gzip"), FetchFailed),
        (response(b"x", status="404 Not Found"), FetchFailed),
        (response(b"x", status="500 Oh no"), FetchFailed),
        (response(b"x", status="204 No Content"), FetchFailed),
        (response(b"x", status="302 Found"), FetchFailed),
        (b"no http at all\r\n\r\n", FetchFailed),
        (b"", FetchFailed),
        (response(b"short", content_length="50"), FetchFailed),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000, FetchFailed),
    ],
)
async def test_bad_answers(web_server: WebServer, page: bytes | list[bytes], error: type[Exception]) -> None:
    web_server.pages["/"] = page
    with pytest.raises(error):
        await read(local_fetcher(), f"http://files.example:{web_server.port}/", 100)


@pytest.mark.parametrize("pieces", [[], [response(b"", content_length="100"), b"some"]])
async def test_time_is_limited_before_and_within_the_answer(web_server: WebServer, pieces: list[bytes]) -> None:
    web_server.pages["/"] = pieces
    with pytest.raises(FetchFailed, match="too long"):
        await read(local_fetcher(total_seconds=0.3), f"http://files.example:{web_server.port}/")


async def test_names_that_lead_nowhere() -> None:
    for host in ("empty.example", "unknown.example"):
        with pytest.raises(FetchFailed) as caught:
            await read(local_fetcher(), f"http://{host}/")
        assert host not in str(caught.value)


async def test_the_next_address_is_tried_when_the_first_does_not_answer(web_server: WebServer) -> None:
    web_server.pages["/"] = response(b"second")
    names = {"two.example": [["127.9.9.9", LOOPBACK]]}
    assert await read(local_fetcher(names=names), f"http://two.example:{web_server.port}/") == b"second"


async def test_tls_is_checked_against_the_name_and_not_the_address(tmp_path: Path) -> None:
    web = WebServer(pages={"/": response(b"sealed")})
    context, trusted = tls_for("files.example", tmp_path)
    trust = ssl.create_default_context(cafile=trusted)
    names = {"other.example": [[LOOPBACK]]}
    server = await asyncio.start_server(web.serve, LOOPBACK, 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await read(local_fetcher(trust=trust), f"https://files.example:{port}/") == b"sealed"
        for by, host in (
            (local_fetcher(trust=trust, names=names), "other.example"),
            (local_fetcher(), "files.example"),
        ):
            with pytest.raises(FetchFailed):
                await read(by, f"https://{host}:{port}/")
    assert len(web.requests) == 1


async def test_a_client_of_ones_own_goes_through_the_same_door(web_server: WebServer) -> None:
    web_server.pages["/"] = response(status="302 Found", location=f"http://inside.example:{web_server.port}/")
    transport = SafeTransport(LOCAL, TwinResolver(NAMES))
    async with httpx.AsyncClient(transport=transport, follow_redirects=True, trust_env=False) as client:
        with pytest.raises(UnsafeAddress):
            await client.post(f"http://files.example:{web_server.port}/", headers={"Host": "inside.example"})
    assert f"Host: files.example:{web_server.port}" in web_server.requests[0]


async def test_only_so_many_at_once(web_server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MAX_AT_ONCE", 1)
    web_server.pages["/slow"] = []
    web_server.pages["/quick"] = response(b"x")
    by, base = local_fetcher(), f"http://files.example:{web_server.port}"
    first = asyncio.create_task(read(by, f"{base}/slow"))
    async with asyncio.timeout(10):
        while not web_server.requests:
            await asyncio.sleep(0.01)
    second = asyncio.create_task(read(by, f"{base}/quick"))
    done, _ = await asyncio.wait([second], timeout=0.2)
    assert not done
    first.cancel()
    assert await second == b"x"
    assert len(web_server.requests) == 2
