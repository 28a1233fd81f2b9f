"""The edge of the gateway: security headers, who may frame the page, whose address counts, and other origins."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import structlog

from deployments.gateway.application import build_app
from tests.fixtures.gateway import GatewayRig


@asynccontextmanager
async def edge(rig: GatewayRig, peer: str = "127.0.0.1", **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the same gateway with other settings, as somebody whose connection comes from `peer`."""
    services = replace(rig.services, settings=rig.services.settings.model_copy(update=settings))
    transport = httpx.ASGITransport(build_app(services), client=(peer, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
        yield http


async def test_every_answer_carries_security_headers(rig: GatewayRig) -> None:
    tenant = await rig.register()
    answers = [await rig.http.get(path) for path in ("/healthz", "/nowhere", "/", "/docs", "/assets/app-1a2b.js")]
    answers += [await tenant.get("/me"), await rig.http.get("/me"), await rig.http.post("/auth/login", content=b"{")]
    for answer in answers:
        headers = answer.headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "base-uri 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]
        assert "strict-transport-security" not in headers
    for answer in answers[-3:]:
        assert answer.headers["cache-control"] == "no-store"
    assert "script-src 'self';" in answers[2].headers["content-security-policy"]


async def test_only_https_is_made_strict(rig: GatewayRig) -> None:
    told = {"X-Forwarded-Proto": "https"}
    async with edge(rig) as behind_proxy, edge(rig, "203.0.113.9") as direct:
        for path in ("/", "/me"):
            assert "max-age=" in (await behind_proxy.get(path, headers=told)).headers["strict-transport-security"]
            assert "strict-transport-security" not in (await behind_proxy.get(path)).headers
            assert "strict-transport-security" not in (await direct.get(path, headers=told)).headers


async def test_the_page_may_be_framed_only_where_that_is_configured(rig: GatewayRig) -> None:
    async with edge(rig, frame_ancestors=("https://shop.example", "https://b.example")) as http:
        page, api = await http.get("/"), await http.get("/me")
    assert page.headers["content-security-policy"].endswith("; frame-ancestors https://shop.example https://b.example")
    assert "x-frame-options" not in page.headers
    assert "frame-ancestors 'none'" in api.headers["content-security-policy"]
    assert api.headers["x-frame-options"] == "DENY"


async def test_the_log_names_the_client_and_not_what_it_claims(rig: GatewayRig) -> None:
    told = {"X-Forwarded-For": "1.1.1.1, 198.51.100.4"}
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        async with edge(rig) as behind_proxy, edge(rig, "203.0.113.9") as direct:
            await behind_proxy.get("/me", headers=told)
            await direct.get("/me", headers=told)
    assert [entry["client"] for entry in logs if entry["event"] == "request"] == ["198.51.100.4", "203.0.113.9"]


SHOP = "https://shop.example"


def preflight(origin: str, method: str = "POST", headers: str = "authorization, content-type") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


async def test_an_allowed_origin_may_call_and_read(rig: GatewayRig) -> None:
    tenant = await rig.register()
    async with edge(rig, allowed_origins=(SHOP,)) as http:
        asked = await http.options("/chatbots", headers=preflight(SHOP, headers="authorization, idempotency-key"))
        answer = await http.get("/chatbots", headers={"Origin": SHOP, **tenant.headers})
        refused = await http.get("/chatbots", headers={"Origin": SHOP})
        limits = await http.post("/chatbots", headers={"Origin": SHOP, "Content-Length": "x"})
    assert asked.status_code == 200
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "Idempotency-Key" in asked.headers["access-control-allow-headers"]
    for found in (asked, answer, refused, limits):
        assert found.headers["access-control-allow-origin"] == SHOP
        assert "Origin" in found.headers["vary"]
        assert "access-control-allow-credentials" not in found.headers
    assert (answer.status_code, refused.status_code, limits.status_code) == (200, 401, 400)
    assert "RateLimit-Remaining" in answer.headers["access-control-expose-headers"]


async def test_other_origins_are_told_nothing(rig: GatewayRig) -> None:
    foreign = ("https://shop.example.evil.example", "http://shop.example", "https://shop.example:8443", "null", "*")
    async with edge(rig, allowed_origins=(SHOP,)) as some, edge(rig) as none:
        for http, origins in ((some, foreign), (none, (*foreign, SHOP))):
            for origin in origins:
                asked = await http.options("/chatbots", headers=preflight(origin))
                answer = await http.get("/chatbots", headers={"Origin": origin})
                assert asked.status_code == 400
                assert "access-control-allow-origin" not in asked.headers
                assert "access-control-allow-origin" not in answer.headers
        assert (await some.options("/chatbots", headers=preflight(SHOP, "TRACE"))).status_code == 400
        assert (await some.options("/chatbots", headers=preflight(SHOP, headers="x-evil"))).status_code == 400
