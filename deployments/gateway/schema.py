"""Writes docs/protocol.schema.json from the wire models: `python -m deployments.gateway.schema`."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from domain.wire import client_frame, server_frame

PATH = Path(__file__).parents[2] / "docs" / "protocol.schema.json"


def protocol_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 with `ClientFrame` and `ServerFrame` among its definitions."""
    definitions: dict[str, Any] = {}
    sides: tuple[tuple[str, TypeAdapter[Any], JsonSchemaMode], ...] = (
        ("ClientFrame", client_frame, "validation"),
        ("ServerFrame", server_frame, "serialization"),
    )
    for name, adapter, mode in sides:
        schema = adapter.json_schema(mode=mode)
        definitions |= schema.pop("$defs")
        definitions[name] = schema
    for definition in definitions.values():
        # A default in the model, but on the wire it is always there.
        if "const" in definition.get("properties", {}).get("type", {}):
            definition["required"] = ["type", *(field for field in definition.get("required", ()) if field != "type")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Loquent chat protocol",
        "description": "Frames on the chat WebSocket, one JSON object per text message. See protocol.md.",
        "$defs": dict(sorted(definitions.items())),
        "oneOf": [{"$ref": "#/$defs/ClientFrame"}, {"$ref": "#/$defs/ServerFrame"}],
    }


def render() -> str:
    return json.dumps(protocol_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(render(), "utf-8")
