"""Fields that nobody asked for are refused: every body of the OpenAPI document, by its schema and by a call."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from cluster.probe.operations import sample
from tests.fixtures.gateway import GatewayRig

EXTRA = ("tenant_id", "id", "role", "is_admin", "plan", "created_at", "password_hash", "__proto__")
FREE = {
    ("ChatbotBody", "config"),
    ("RetrieveBody", "retrieval"),
    ("PromptPreviewBody", "config"),
    ("PromptPreviewBody", "attributes"),
    ("DocumentChange", "metadata"),
    ("HashesBody", "metadata"),
}
FREE_PATHS = {"/chatbots/{chatbot_id}/config", "/chatbots/{chatbot_id}/draft"}
"""Free by their schema: the route checks them against the configuration's own model, below. Metadata is free."""


def objects(
    schema: Mapping[str, Any], document: Mapping[str, Any], name: str = "", seen: frozenset[str] = frozenset()
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every object schema that a body may hold, with its name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in seen:
            return
        seen |= {name}
        schema = document["components"]["schemas"][name]
    for key in ("anyOf", "oneOf", "allOf"):
        for choice in schema.get(key, ()):
            yield from objects(choice, document, name, seen)
    if schema.get("type") == "object":
        yield name, schema
        for field, inner in schema.get("properties", {}).items():
            if (name, field) not in FREE:
                yield from objects(inner, document, f"{name}.{field}", seen)
    elif schema.get("type") == "array":
        yield from objects(schema["items"], document, name, seen)


def bodies(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Method, path and schema of every JSON body, but for Stripe's events, which are signed and may grow, and the
    OpenAI API's, whose clients send more than a chatbot has a use for."""
    for path, methods in document["paths"].items():
        if path.startswith(("/webhooks/", "/v1/")) or path in FREE_PATHS:
            continue
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is not None:
                yield method, path, content["schema"]


async def test_every_body_is_closed_by_its_schema(rig: GatewayRig) -> None:
    document = (await rig.http.get("/openapi.json")).json()
    found = {name: schema for _, _, body in bodies(document) for name, schema in objects(body, document)}
    assert len(found) >= 8
    open_ones = {name for name, schema in found.items() if schema.get("additionalProperties") is not False}
    assert open_ones == set(), "these bodies take fields that nobody asked for"


async def test_every_operation_refuses_a_field_too_many(rig: GatewayRig) -> None:
    rig.services.tokens.lifetime_seconds = 3_600
    document = (await rig.http.get("/openapi.json")).json()
    refused = 0
    for method, path, schema in bodies(document):
        tenant = await rig.register()
        ids = {"chatbot_id": await tenant.new_bot()}
        ids["session_id"] = await tenant.new_session(ids["chatbot_id"])
        target = path
        for part in path.split("{")[1:]:
            name = part.partition("}")[0]
            target = target.replace(f"{{{name}}}", ids.get(name, str(uuid4())))
        for field in EXTRA:
            body = {**(sample(schema, document) or {}), field: "x"}
            if field in _fields(schema, document):
                continue
            answer = await tenant.call(method.upper(), target, json=body)
            assert 400 <= answer.status_code < 500, f"{method} {path} takes {field}: {answer.text}"
            refused += answer.status_code in (400, 422)
    print(f"{refused} refusals by the body's model")
    assert refused >= 8 * len(EXTRA)


async def test_the_configuration_is_closed_at_every_depth(rig: GatewayRig) -> None:
    tenant = await rig.register()
    bot = await tenant.new_bot()
    before = (await tenant.get(f"/chatbots/{bot}")).json()
    changes: tuple[dict[str, Any], ...] = (
        {"tenant_id": str(uuid4())},
        {"version": 7},
        {"retrieval": {"tenant_id": "x"}},
        {"retrieval": {"top_k": 3, "__class__": "x"}},
        {"__init__": {}},
    )
    for change in changes:
        assert (await tenant.call("PUT", f"/chatbots/{bot}/config", json=change)).status_code == 422
        assert (await tenant.call("PUT", f"/chatbots/{bot}/draft", json=change)).status_code == 422
        assert (await tenant.post("/chatbots", json={"name": "x", "config": change})).status_code == 422
    tried = {"question": "x", "retrieval": {"top_k": 3, "tenant_id": "x"}}
    assert (await tenant.post(f"/chatbots/{bot}/retrieve", json=tried)).status_code == 422
    assert (await tenant.get(f"/chatbots/{bot}")).json() == before


def _fields(schema: Mapping[str, Any], document: Mapping[str, Any]) -> set[str]:
    return {field for _, found in objects(schema, document) for field in found.get("properties", {})}
