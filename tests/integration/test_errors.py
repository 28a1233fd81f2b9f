"""Whatever is sent, the answer is an error of one shape with the right status, and never a traceback."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from domain.ids import SignInId, TenantId, UserId
from domain.tenancy import Principal, Role
from tests.fixtures.gateway import GatewayRig

JSON = {"Content-Type": "application/json"}


def check(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert error["code"] == code
    assert error["message"].endswith((".", "`."))
    assert answer.headers["x-request-id"] == error["request_id"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 422),
        (b"", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b"\xff\xfe\x00", 400),
        (b'{"name": "\xff"}', 400),
        (b"[" * 30_000, 400),
        (b'{"name": ' + b"9" * 10_000 + b"}", 400),
        (b'{"name": NaN}', 422),
        (rb'{"name": "\u0000"}', 422),
        (rb'{"name": "\ud800"}', 422),
        (rb'{"\ud800": 1, "name": "x"}', 422),
        (rb'{"name": "x", "config": {"\ud800": 1}}', 422),
        (rb'{"name": "x", "config": {"persona": "\udfff"}}', 422),
        (b'{"name": {"$ne": 1}}', 422),
        (b'{"name": "x", "name": "y"}', 400),
        (rb'{"name": "x", "\u006eame": "y"}', 400),
        (b'{"name": "x", "config": {"tone": "a", "tone": "b"}}', 400),
        (b'{"name": "x", "config": {"a": ' + b"[" * 31 + b"]" * 31 + b"}}", 400),
        (b'{"name": "x", "config": {"a": ' + b"[" * 40 + b"1", 422),
    ],
)
async def test_hostile_bodies(rig: GatewayRig, body: bytes, status: int) -> None:
    tenant = await rig.register()
    check(await tenant.post("/chatbots", content=body, headers=JSON), status, "invalid_input")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json"])
async def test_a_body_that_is_not_declared_as_json_is_refused(rig: GatewayRig, kind: str | None) -> None:
    tenant = await rig.register()
    headers = {"Content-Type": kind} if kind else {}
    check(await tenant.post("/chatbots", content=b'{"name": "x"}', headers=headers), 415, "unsupported_media")
    twice = [("Content-Type", "application/json"), ("Content-Type", "text/plain"), *tenant.headers.items()]
    check(await rig.http.post("/chatbots", content=b'{"name": "x"}', headers=twice), 415, "unsupported_media")
    assert (await tenant.get("/chatbots")).json()["items"] == []


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"]
)
async def test_json_by_any_of_its_names_is_taken(rig: GatewayRig, kind: str) -> None:
    tenant = await rig.register()
    body = b'{"name": "]]]]{{{{ \\" [[[["}'
    assert (await tenant.post("/chatbots", content=body, headers={"Content-Type": kind})).status_code == 201


async def test_ids_that_are_none_are_not_found(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    for path in ("/chatbots/7", "/chatbots/%00", "/chatbots/%ff", f"/chatbots/{uuid4()}", f"/chatbots/{bot}'--"):
        check(await tenant.get(path), 404, "not_found")
    check(await tenant.get(f"/knowledgebase/{bot}/documents/x"), 404, "not_found")
    check(await tenant.get(f"/chatbots/{bot}/sessions?cursor=x"), 422, "invalid_input")
    check(await tenant.get(f"/chatbots/{bot}/sessions?limit=0"), 422, "invalid_input")
    check(await tenant.get(f"/chatbots/{bot}/sessions?limit=9%00"), 422, "invalid_input")


async def test_unknown_addresses_and_methods(rig: GatewayRig) -> None:
    check(await rig.http.get("/chatbots/a/b/c/d"), 404, "not_found")
    check(await rig.http.post("/nowhere"), 404, "not_found")
    answer = await rig.http.patch("/auth/login")
    check(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_tokens_that_are_not_ours(rig: GatewayRig) -> None:
    tenant = await rig.register()
    header, body, signature = tenant.grant["access_token"].split(".")
    forged = [
        None,
        "Bearer",
        "Basic dXNlcjpwYXNz",
        f"Bearer {header}.{body}.{signature[:-4]}AAAA",
        f"Bearer {header}.{body}.",
        f"Bearer {tenant.grant['refresh_token']}",
        "Bearer " + "x" * 9_000,
        "Bearer \xff",
    ]
    for value in forged:
        headers = [(b"Authorization", value.encode("latin-1"))] if value is not None else []
        answer = await rig.http.get("/me", headers=headers)
        check(answer, 401, "not_authenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    unknown = Principal(TenantId(uuid4()), UserId(uuid4()), Role.OWNER, SignInId(uuid4()))
    token = {"Authorization": f"Bearer {rig.services.tokens.sign(unknown)}"}
    check(await rig.http.get("/me", headers=token), 401, "not_authenticated")
    check(await rig.http.post("/chatbots", json={"name": "x"}, headers=token), 401, "not_authenticated")


async def test_bodies_too_large_are_refused_with_and_without_a_length(rig: GatewayRig) -> None:
    tenant = await rig.register()
    big = json.dumps({"name": "x" * 70_000}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 1_000):
            yield big[start : start + 1_000]

    check(await tenant.post("/chatbots", content=big, headers=JSON), 413, "too_large")
    check(await tenant.post("/chatbots", content=chunks(), headers=JSON), 413, "too_large")
    check(await tenant.post("/chatbots", content=b"{}", headers={**JSON, "Content-Length": "x"}), 400, "invalid_input")


async def test_an_unknown_error_is_a_sentence_and_an_id(rig: GatewayRig) -> None:
    async def broken() -> None:
        raise RuntimeError("password=hunter2")

    rig.app.add_api_route("/broken", broken)
    answer = await rig.http.get("/broken", headers={"X-Request-ID": "my-request-1"})
    check(answer, 500, "internal_error")
    assert answer.json()["error"]["request_id"] == "my-request-1"
    assert "hunter2" not in answer.text


async def test_a_request_id_that_could_harm_a_log_is_replaced(rig: GatewayRig) -> None:
    for harmful in ("a b\tc" * 30, "short", "x" * 65, "abcdefgh\r\nSet-Cookie: a=b", "abcdefgh\n", "<script>alert(1)"):
        answer = await rig.http.get("/healthz", headers={"X-Request-ID": harmful})
        assert answer.headers["x-request-id"].isalnum()
        assert answer.headers["x-request-id"] != harmful
        assert "set-cookie" not in answer.headers


async def test_without_the_database_the_answer_is_unavailable(rig: GatewayRig) -> None:
    tenant = await rig.register()
    await rig.services.db.close()
    check(await tenant.get("/chatbots"), 503, "unavailable")
    ready = await rig.http.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"]["database"]["ok"] is False
    assert ready.json()["checks"]["redis"]["ok"] is True
    assert (await rig.http.get("/healthz")).json() == {"status": "ok"}


async def test_the_page_is_served_with_its_caches_and_nothing_outside_it(rig: GatewayRig) -> None:
    page = await rig.http.get("/")
    assert "<title>Loquent</title>" in page.text
    assert page.headers["cache-control"] == "no-cache"
    script = await rig.http.get("/assets/app-1a2b.js")
    assert "immutable" in script.headers["cache-control"]
    assert (await rig.http.get("/some/view", headers={"Accept": "text/html"})).text == page.text
    for path in ("/assets/none.js", "/some/view", "/chatbots/x/y", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/a%00b"):
        check(await rig.http.get(path), 404, "not_found")


async def test_the_documentation_loads_nothing_from_elsewhere(rig: GatewayRig) -> None:
    page = (await rig.http.get("/docs")).text
    assert "http" not in page
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
        assert f"/docs/{name}" in page
        assert (await rig.http.get(f"/docs/{name}")).status_code == 200
    paths = (await rig.http.get("/openapi.json")).json()["paths"]
    assert "/chatbots/{chatbot_id}/config" in paths
    assert "/webhooks/stripe" in paths


async def test_metrics_count_requests_by_template(rig: GatewayRig) -> None:
    tenant = await rig.register()
    await asyncio.gather(*(tenant.get(f"/chatbots/{uuid4()}") for _ in range(3)))
    text = (await rig.http.get("/metrics")).text
    assert 'loquent_http_requests_total{method="GET",route="/chatbots/{chatbot_id}",status="404"} 3.0' in text
    assert tenant.grant["tenant"]["id"] not in text
