import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

import { SERVER_FIELDS, parseFrame } from "./frames";

const SCHEMA = new URL("../../../docs/protocol.schema.json", import.meta.url);
const CLIENT = ["auth", "message", "regenerate", "stop", "delivered", "ping"];

interface ObjectSchema {
  properties?: Record<string, { const?: unknown }>;
}

/** Every object schema with a constant `type`, wherever the document keeps it. */
function frameSchemas(node: unknown, found = new Map<string, string[]>()): Map<string, string[]> {
  if (typeof node !== "object" || node === null) return found;
  const { properties } = node as ObjectSchema;
  const type = properties?.type?.const;
  if (properties && typeof type === "string") found.set(type, Object.keys(properties));
  for (const child of Object.values(node)) frameSchemas(child, found);
  return found;
}

describe("frames", () => {
  it.runIf(existsSync(SCHEMA))("have the fields of the published schema, and none is unknown here", () => {
    const published = frameSchemas(JSON.parse(readFileSync(SCHEMA, "utf8")));
    for (const [type, fields] of Object.entries(SERVER_FIELDS)) {
      expect(["type", ...fields].sort(), type).toEqual(published.get(type)?.sort());
    }
    expect([...published.keys()].sort()).toEqual([...CLIENT, ...Object.keys(SERVER_FIELDS)].sort());
  });

  it("are ignored where this page does not know their type", () => {
    expect(parseFrame('{"type":"reconnect","within_seconds":3}')).toEqual({ type: "reconnect", within_seconds: 3 });
    expect(parseFrame('{"type":"later"}')).toBeNull();
  });
});
