"""Answers of an identity provider that nobody should give, and a provider's metadata that leads elsewhere."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from json import dumps
from typing import Any

import httpx
import pytest

from configs.identity import IdentityProvider
from deployments.gateway.oidc import provider_http
from deployments.gateway.oidc.provider import OidcProvider
from deployments.gateway.oidc.provider_http import MAX_BYTES, ProviderHttp
from deployments.gateway.oidc.refusals import IdentityInvalid
from domain.errors import Unavailable

URL = "https://acme.example/x"
METADATA = {
    "issuer": "https://acme.example",
    "authorization_endpoint": "https://acme.example/auth?tenant=1",
    "token_endpoint": "https://acme.example/token",
    "jwks_uri": "https://acme.example/jwks",
}


def reply(
    status: int, content: bytes = b"", *, json: object = None, headers: dict[str, str] | None = None
) -> httpx.Response:
    """As it comes from a network: nothing of it was read yet."""
    body = content if json is None else dumps(json).encode()
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def answering(answer: httpx.Response | Exception) -> tuple[ProviderHttp, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ProviderHttp(httpx.AsyncClient(transport=httpx.MockTransport(handle), follow_redirects=False)), asked


def provider(metadata: dict[str, Any], issuer: str = "https://acme.example") -> OidcProvider:
    http, _ = answering(reply(200, json=metadata))
    return OidcProvider(
        IdentityProvider(name="a", label="A", issuer=issuer, client_id="us"), http, "https://us.example/"
    )


async def test_an_object_is_read_and_compression_is_declined() -> None:
    http, asked = answering(reply(200, json={"a": 1}))
    assert await http.get(URL) == {"a": 1}
    assert asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "answer",
    [
        reply(500, json={}),
        reply(204),
        reply(302, headers={"location": "http://169.254.169.254/latest"}),
        reply(307, headers={"location": "https://evil.example/"}),
        reply(200, b"<html>"),
        reply(200, b"[1]"),
        reply(200, b"null"),
        reply(200, b"\xff\xfe"),
        reply(200, b"[" * 100_000),
        reply(200, b'{"a": "' + b"x" * MAX_BYTES + b'"}'),
        httpx.ConnectError("no"),
        httpx.ReadTimeout("no"),
        httpx.RemoteProtocolError("no"),
    ],
)
async def test_anything_else_is_a_provider_that_does_not_answer(answer: httpx.Response | Exception) -> None:
    http, asked = answering(answer)
    with pytest.raises(Unavailable):
        await http.get(URL)
    assert len(asked) == 1


async def test_a_compressed_answer_is_not_unpacked() -> None:
    bomb = gzip.compress(dumps({"a": "x" * 10_000_000}).encode())
    http, _ = answering(reply(200, bomb, headers={"content-encoding": "gzip"}))
    with pytest.raises(Unavailable):
        await http.get(URL)


async def test_a_refused_code_is_the_persons_business_a_redirect_of_the_secret_is_not_followed() -> None:
    for status in (400, 401):
        http, _ = answering(reply(status, json={"error": "invalid_grant"}))
        with pytest.raises(IdentityInvalid):
            await http.post(URL, {"code": "x"}, ("us", "secret"))
    http, asked = answering(reply(307, headers={"location": "https://evil.example/"}))
    with pytest.raises(Unavailable):
        await http.post(URL, {"code": "x"}, ("us", "secret"))
    assert [str(request.url) for request in asked] == [URL]


async def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

    monkeypatch.setattr(provider_http, "SECONDS", 0.05)
    http, _ = answering(httpx.Response(200, stream=Endless()))
    with pytest.raises(Unavailable):
        await http.get(URL)


async def test_a_query_of_the_providers_own_stays() -> None:
    url = await provider(METADATA).log_in_url("s", "n", "v")
    assert url.startswith("https://acme.example/auth?tenant=1&response_type=code&client_id=us&")


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example"},
        {"issuer": "https://acme.example/"},
        {"issuer": None},
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": "S256"},
        {"authorization_endpoint": "http://acme.example/auth"},
        {"authorization_endpoint": "http://127.0.0.1/auth"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "//acme.example"},
        {"authorization_endpoint": "https://user@acme.example/"},
        {"authorization_endpoint": "https://[/"},
        {"authorization_endpoint": ["https://acme.example/auth"]},
        {"authorization_endpoint": None},
    ],
)
async def test_metadata_that_leads_elsewhere_are_not_followed(change: dict[str, Any]) -> None:
    with pytest.raises(Unavailable):
        await provider({**METADATA, **change}).log_in_url("s", "n", "v")


async def test_a_provider_says_who_answers_when_it_promised_to() -> None:
    silent, telling = provider(METADATA), provider({**METADATA, "authorization_response_iss_parameter_supported": True})
    await silent.check_issuer(None)
    await silent.check_issuer("https://acme.example")
    await telling.check_issuer("https://acme.example")
    for found, issuer in ((silent, "https://evil.example"), (telling, None), (telling, "https://acme.example/")):
        with pytest.raises(IdentityInvalid):
            await found.check_issuer(issuer)
