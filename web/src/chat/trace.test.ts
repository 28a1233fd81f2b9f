import { describe, expect, it } from "vitest";

import type { Trace, TraceCall } from "../api/types";
import { callUse, duration, money, origin, passages, stageBars, why } from "./trace";

const CALL: TraceCall = {
  kind: "answer",
  engine: "openai",
  model: "gpt-4o-mini",
  prompt_tokens: 420,
  completion_tokens: 32,
  cached_tokens: 0,
  embedded_tokens: 0,
  cost_micro: 82,
};
const TRACE: Trace = {
  state: "completed",
  model: "gpt-4o-mini",
  plan_reason: "hard: comparison → gpt-4o-mini; hedged",
  cost_micro: 82,
  stages: [
    { name: "plan", start_ms: 40, ms: 10 },
    { name: "guard", start_ms: 0, ms: 5 },
    { name: "first_text", start_ms: 100, ms: 0 },
  ],
  calls: [{ ...CALL, kind: "hedge", engine: "azure" }, CALL],
  retrieval: { candidates: [{ fate: "kept" }, { fate: "kept" }, { fate: "too_far" }] },
  messages: null,
  cut: false,
};

describe("how an answer came about", () => {
  it("names the engine that answered, and why", () => {
    expect(origin(TRACE)).toBe("gpt-4o-mini on openai");
    expect(why(TRACE)).toBe("hard: comparison → gpt-4o-mini; hedged");
  });

  it("names a kept answer as one", () => {
    const calls = [{ ...CALL, kind: "cache", engine: "" }];
    expect(origin({ ...TRACE, calls, plan_reason: "cache: exact" })).toBe("Kept from the same question");
    const semantic = { ...TRACE, calls, plan_reason: "cache: semantic 0.97" };
    expect(origin(semantic)).toBe("Kept from a question that asks the same (similarity 0.97)");
    expect(why(semantic)).toBeNull();
  });

  it("says when no model was asked", () => {
    expect(origin({ ...TRACE, calls: [], plan_reason: "refused: input" })).toBe("No model was asked");
  });

  it("puts the stages in order, on the time of the whole", () => {
    expect(stageBars(TRACE).map(({ name, left, width }) => [name, left, width])).toEqual([
      ["Checks of the question", 0, 5],
      ["Choice of the model", 40, 10],
      ["First words", 100, 0],
    ]);
    expect(stageBars({ ...TRACE, stages: [] })).toEqual([]);
  });

  it("says what was used and what it cost", () => {
    expect(callUse({ ...CALL, cached_tokens: 64 })).toBe("420 tokens in (64 of them known), 32 out");
    expect(callUse({ ...CALL, prompt_tokens: 0, completion_tokens: 0 })).toBe("nothing used");
    expect([money(0), money(82), money(1_500_000)]).toEqual(["0", "0.000082", "1.5"]);
    expect([duration(0.4), duration(120.4), duration(2_340)]).toEqual(["0.4 ms", "120 ms", "2.3 s"]);
    expect(passages(TRACE)).toBe("2 kept, 1 too far");
    expect(passages({ ...TRACE, retrieval: null })).toBeNull();
  });
});
