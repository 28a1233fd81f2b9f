"""Documents fetched from the web: stored, queued and recorded as uploads are, and refused with a type."""

from uuid import uuid4

import httpx
import pytest

from deployments.gateway import rate_limits
from domain.ids import DocumentId, TenantId
from storage.blobs import ORIGINAL, original_key
from storage.postgres.tenant_keys import keys_of
from tests.fixtures.gateway import GatewayRig, Tenant
from tests.fixtures.web_server import WebServer, local_fetcher, response


@pytest.fixture
def fetching(rig: GatewayRig) -> GatewayRig:
    object.__setattr__(rig.services, "fetcher", local_fetcher())
    return rig


async def fetch(tenant: Tenant, bot: str, url: str) -> httpx.Response:
    return await tenant.post(f"/knowledgebase/{bot}/fetch", json={"url": url})


async def test_a_fetched_document_is_stored_queued_and_recorded(fetching: GatewayRig, web_server: WebServer) -> None:
    web_server.pages["/terms.txt?key=secret"] = response(b"Twelve months.", content_type="text/plain")
    tenant = await fetching.register()
    bot = await tenant.new_bot()
    url = f"http://files.example:{web_server.port}/terms.txt?key=secret"
    answer = await fetch(tenant, bot, url)
    assert answer.status_code == 202, answer.text
    document = answer.json()
    assert (document["name"], document["media_type"], document["status"]) == ("terms.txt", "text/plain", "queued")
    tenant_id, document_id = TenantId(tenant.grant["tenant"]["id"]), DocumentId(document["id"])
    keys = (await keys_of(fetching.services.db, tenant_id)).for_document(document_id)
    assert (
        keys.open(ORIGINAL, await fetching.services.blobs.get(original_key(tenant_id, document_id)))
        == b"Twelve months."
    )
    assert len(fetching.notified) == 1
    assert (await fetch(tenant, bot, url)).json()["id"] == document["id"]
    log = (await tenant.get("/audit")).json()["items"]
    [event] = [item for item in log if item["action"] == "document.upload"]
    assert event["details"]["source"] == "files.example"
    assert "secret" not in str(log)


@pytest.mark.parametrize(
    ("path", "headers", "body", "name", "media_type"),
    [
        ("/", {"content_type": "text/html"}, b"<!doctype html><p>Hi</p>", "files.example.html", "text/html"),
        ("/page.php", {"content_type": "text/html"}, b"<html><p>Hi</p>", "page.php.html", "text/html"),
        ("/a%20b.md", {"content_type": "text/plain"}, b"# Hi", "a b.md", "text/markdown"),
        ("/a%2F..%2F..%2Fetc%2Fpasswd", {"content_type": "text/plain"}, b"x", "passwd.txt", "text/plain"),
        ("/x", {"content_disposition": 'attachment; filename="../../n.txt"'}, b"x", "n.txt", "text/plain"),
        (
            "/x",
            {"content_disposition": "attachment; filename*=UTF-8''gr%C3%BC%C3%9Fe.txt"},
            b"x",
            "grüße.txt",
            "text/plain",
        ),
        ("/x", {"content_disposition": 'attachment; filename="a\u202etxt.exe.txt"'}, b"x", None, "text/plain"),
        ("/%00%0d%0aSet-Cookie.txt", {}, b"x", "Set-Cookie.txt", "text/plain"),
    ],
)
async def test_names_are_made_safe(
    fetching: GatewayRig,
    web_server: WebServer,
    path: str,
    headers: dict[str, str],
    body: bytes,
    name: str | None,
    media_type: str,
) -> None:
    encoded = {key: value.encode().decode("latin-1") for key, value in headers.items()}
    web_server.pages[path] = response(body, **encoded)
    tenant = await fetching.register()
    answer = await fetch(tenant, await tenant.new_bot(), f"http://files.example:{web_server.port}{path}")
    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert found["media_type"] == media_type
    assert "\u202e" not in found["name"]
    assert name in (None, found["name"])


async def test_refusals_have_a_type_and_tell_nothing_of_the_inside(fetching: GatewayRig, web_server: WebServer) -> None:
    base = f"http://files.example:{web_server.port}"
    web_server.pages |= {
        "/fake.pdf": response(b"no pdf at all", content_type="application/pdf"),
        "/page.txt": response(b"\x7fELF" + bytes(100), content_type="text/plain"),
        "/big": response(b"x" * (256 * 1024 + 1), content_type="text/plain"),
        "/empty": response(b"", content_type="text/plain"),
        "/picture": response(b"\x89PNG", content_type="image/png"),
    }
    tenant, stranger = await fetching.register(), await fetching.register()
    bot = await tenant.new_bot()
    cases = [
        (f"{base}/fake.pdf", 415, "unsupported_media"),
        (f"{base}/page.txt", 415, "unsupported_media"),
        (f"{base}/picture", 415, "unsupported_media"),
        (f"{base}/big", 413, "too_large"),
        (f"{base}/empty", 422, "unprocessable"),
        (f"{base}/none", 422, "fetch_failed"),
        ("http://inside.example/", 400, "unsafe_address"),
        ("http://127.0.0.1:6379/", 422, "fetch_failed"),
        ("http://127.1/", 400, "unsafe_address"),
        ("ftp://files.example/", 400, "unsafe_address"),
        ("", 422, "invalid_input"),
        ("x" * 3_000, 422, "invalid_input"),
        ("http://files.example/\x00", 422, "invalid_input"),
    ]
    for url, status, code in cases:
        answer = await fetch(tenant, bot, url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), url
        assert "10.0.0.7" not in answer.text
    assert (await tenant.get(f"/knowledgebase/{bot}/documents")).json()["items"] == []
    assert (await fetch(stranger, bot, f"{base}/fake.pdf")).status_code == 404
    assert (await fetch(tenant, str(uuid4()), f"{base}/fake.pdf")).status_code == 404
    path = f"/knowledgebase/{bot}/fetch"
    twice = await tenant.post(path, content=b'{"url": "a", "url": "b"}', headers={"Content-Type": "application/json"})
    assert twice.status_code == 400


async def test_fetches_are_counted_per_tenant(fetching: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = rate_limits.Rule({"tenant": rate_limits.Rate(2, 0.001)}, closed=True)
    monkeypatch.setitem(rate_limits.RULES, rate_limits.Kind.FETCH, rule)
    one, other = await fetching.register(), await fetching.register()
    bot, theirs = await one.new_bot(), await other.new_bot()
    assert [(await fetch(one, bot, "http://a.example/")).status_code for _ in range(3)] == [422, 422, 429]
    assert (await fetch(other, theirs, "http://a.example/")).status_code == 422
