import { describe, expect, it } from "vitest";

import { parseMailed } from "./mailed";

const token = "A-_9".repeat(10) + "abc";

describe("mailed links", () => {
  it.each(["invite", "reset", "verify"] as const)("knows a link to %s", (form) => {
    expect(parseMailed(`#/${form}/${token}`)).toEqual({ form, token });
  });

  it.each([
    "",
    "#/",
    "#/invite",
    "#/invite/",
    "#/invite/short",
    `#/other/${token}`,
    `#/invite/${token}/more`,
    `#/invite/${token}?x`,
    `#/invite/${"a".repeat(201)}`,
    "#/invite/%3Cscript%3Ealert(1)%3C/script%3E",
  ])("takes %j for none", (hash) => {
    expect(parseMailed(hash)).toBeNull();
  });
});
