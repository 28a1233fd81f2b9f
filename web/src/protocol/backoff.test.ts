import { describe, expect, it } from "vitest";

import { backoffMs, closeAction, retryAfterMs } from "./backoff";

describe("the wait before another connection", () => {
  it("lies between half and all of its ceiling", () => {
    expect(backoffMs(2, () => 0)).toBe(1_000);
    expect(backoffMs(2, () => 1)).toBe(2_000);
    expect(backoffMs(99, () => 1)).toBe(15_000);
  });

  it.each([
    ["retry_after=7", 7_000],
    ["retry_after=0.5", 500],
    ["retry_after=86400", 300_000],
    ["", 0],
    ["retry_after=", 0],
    ["retry_after=-1", 0],
    ["retry_after=1e9", 0],
    ["the tenant has too many connections", 0],
  ])("takes from the reason %j at least %i ms", (reason, wait) => {
    expect(retryAfterMs(reason)).toBe(wait);
  });

  it.each([
    [1001, "reconnect"],
    [1012, "reconnect"],
    [1013, "reconnect"],
    [1008, "refused"],
    [4401, "refresh"],
    [4404, "gone"],
  ])("follows close %i by %s", (code, action) => {
    expect(closeAction(code)).toBe(action);
  });
});
