"""Requests that two servers might read differently, and text that tries to become a header, on a real connection."""

import asyncio

import pytest

from tests.fixtures.gateway import SocketRig

AMBIGUOUS = [
    b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 5\r\n\r\nabcde",
    b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
    b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /me",
    b"POST /auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST /auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nX\x00Y: a\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /healthz\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 50_000 + b"\r\n",
]


async def talk(port: int, request: bytes) -> bytes:
    """What comes back until the server closes or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(request)
        async with asyncio.timeout(2):
            while data := await reader.read(65_536):
                answer += data
    except (TimeoutError, OSError):
        pass
    finally:
        writer.close()
    return answer


@pytest.mark.parametrize("request_bytes", AMBIGUOUS, ids=range(len(AMBIGUOUS)))
async def test_an_ambiguous_request_is_one_request_or_none(socket_rig: SocketRig, request_bytes: bytes) -> None:
    answer = await talk(socket_rig.port, request_bytes)
    statuses = [line.split(b" ")[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/")]
    assert len(statuses) <= 1
    assert not any(status.startswith(b"5") for status in statuses)
    assert b'"user"' not in answer
    assert (await socket_rig.rig.http.get("/healthz")).status_code == 200


INJECTIONS = [
    "%0d%0aSet-Cookie:%20a=b",
    "%0aSet-Cookie:a=b",
    "%E5%98%8A%E5%98%8DSet-Cookie:a=b",
    "%00",
    "%0d%0a%0d%0a<x>",
]


@pytest.mark.parametrize("text", INJECTIONS)
async def test_text_never_becomes_a_header(socket_rig: SocketRig, text: str) -> None:
    tenant = await socket_rig.rig.register()
    token = tenant.grant["access_token"]
    for target in (f"/{text}", f"/assets/{text}", f"/docs/{text}", f"/chatbots/{text}", f"/audit?cursor={text}"):
        request = (
            f"GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nOrigin: https://a{text}\r\n"
            f"X-Request-ID: abcdefgh{text}\r\nX-Forwarded-For: {text}\r\nConnection: close\r\n\r\n"
        )
        head, _, _ = (await talk(socket_rig.port, request.encode())).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 4"), head
        assert b"set-cookie" not in head.lower()
        assert text.encode() not in head
