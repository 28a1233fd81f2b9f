"""The operations of an OpenAPI document, with what each needs to get as far as its ids."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

HARMLESS = frozenset(("get", "head"))
_OF_FORMAT = {
    "uuid": str(UUID(int=1)),
    "email": "nobody@canary.example",
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
}


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    permission: str
    options: dict[str, Any]
    """A body and parameters that get as far as the ids."""

    @property
    def name(self) -> str:
        return f"{self.method.upper()} {self.path}"

    def filled(self, ids: Mapping[str, str]) -> str:
        """Ids that nobody told us of are ones that nobody has."""
        return self.path.format_map(_OrUnknown(ids))


class _OrUnknown(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return str(uuid4())


def operations_of(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Those that the probe may call: reading ones, and changing ones that are about something with an id."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method not in HARMLESS and "{" not in path:
                continue
            options: dict[str, Any] = {}
            needed = [
                part for part in operation.get("parameters", ()) if part["in"] == "query" and part.get("required")
            ]
            if needed:
                options["params"] = {part["name"]: sample(part["schema"], document) for part in needed}
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content and operation["requestBody"].get("required"):
                options["json"] = sample(content["application/json"]["schema"], document)
            elif "multipart/form-data" in content:
                options["files"] = {"files": ("probe.txt", b"Nothing.", "text/plain")}
            yield Operation(method, path, operation.get("x-permission", ""), options)


def sample(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    """The smallest value that the schema takes, near enough."""
    if "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return sample(found, document)
    given = [schema[key] for key in ("const", "default") if key in schema]
    given += [schema[key][0] for key in ("enum", "examples") if schema.get(key)]
    if given:
        return given[0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample(schema[key][0], document)
    return _of_type(schema, document)


def _of_type(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {name: sample(properties.get(name, {}), document) for name in schema.get("required", ())}
        case "array":
            return [sample(schema["items"], document)] * schema.get("minItems", 0)
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return False
        case "string":
            return _OF_FORMAT.get(schema.get("format", "")) or "x" * max(1, schema.get("minLength", 1))
    return None
