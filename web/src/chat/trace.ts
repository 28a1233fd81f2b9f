/** How an answer came about, in the words and figures that people read. */
import type { Trace, TraceCall } from "../api/types";

const CALLS: Record<string, string> = {
  answer: "Answer",
  retry: "Failed attempt",
  hedge: "Slower of two, not used",
  summary: "Summary",
  guard: "Check",
  embedding: "Embedding",
  rewrite: "Question rewritten",
  cache: "Kept answer",
};
const STAGES: Record<string, string> = {
  guard: "Checks of the question",
  cache: "Kept answers",
  rewrite: "Rewriting the question",
  retrieve: "Documents",
  prompt: "Prompt",
  plan: "Choice of the model",
  first_text: "First words",
};

/** Where it is from: `gpt-4o-mini on openai`, a kept answer, or nothing that a model said. */
export function origin(trace: Trace): string {
  const kept = /^cache: (exact|semantic)(?: ([\d.]+))?/.exec(trace.plan_reason ?? "");
  if (kept?.[1] === "exact") return "Kept from the same question";
  if (kept) return `Kept from a question that asks the same${kept[2] ? ` (similarity ${kept[2]})` : ""}`;
  const said = trace.calls.findLast((call) => call.kind === "answer");
  if (!said) return "No model was asked";
  return said.engine ? `${said.model} on ${said.engine}` : said.model;
}

/** Why it is from there, where anything was decided. */
export function why(trace: Trace): string | null {
  const reason = trace.plan_reason ?? "";
  return reason && !reason.startsWith("cache: ") ? reason : null;
}

/** Millionths of the currency unit; small amounts keep the digits that tell them from nothing. */
export function money(micro: number): string {
  if (micro === 0) return "0";
  const amount = micro / 1_000_000;
  return amount.toLocaleString(undefined, { maximumFractionDigits: amount < 0.01 ? 6 : 4 });
}

export function callName(call: TraceCall): string {
  return CALLS[call.kind] ?? call.kind;
}

/** What a call used: `420 tokens in (64 of them known), 32 out`. */
export function callUse(call: TraceCall): string {
  const known = call.cached_tokens > 0 ? ` (${call.cached_tokens.toLocaleString()} of them known)` : "";
  const parts = [
    call.prompt_tokens > 0 ? `${call.prompt_tokens.toLocaleString()} tokens in${known}` : "",
    call.completion_tokens > 0 ? `${call.completion_tokens.toLocaleString()} out` : "",
    call.embedded_tokens > 0 ? `${call.embedded_tokens.toLocaleString()} embedded` : "",
  ].filter(Boolean);
  return parts.join(", ") || "nothing used";
}

export interface StageBar {
  name: string;
  time: string;
  /** Percent of the whole turn. */
  left: number;
  width: number;
}

/** The stages in the order in which they began, each with its part of the time. */
export function stageBars(trace: Trace): StageBar[] {
  const whole = Math.max(1, ...trace.stages.map((stage) => stage.start_ms + stage.ms));
  return [...trace.stages]
    .sort((one, other) => one.start_ms - other.start_ms)
    .map((stage) => ({
      name: STAGES[stage.name] ?? stage.name,
      time: duration(stage.ms > 0 ? stage.ms : stage.start_ms),
      left: (100 * stage.start_ms) / whole,
      width: (100 * stage.ms) / whole,
    }));
}

export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1_000 ? `${String(Math.round(ms))} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** What became of the passages that were found: `2 shown, 3 too far`. */
export function passages(trace: Trace): string | null {
  if (trace.retrieval === null) return null;
  const fates = new Map<string, number>();
  for (const { fate } of trace.retrieval.candidates) fates.set(fate, (fates.get(fate) ?? 0) + 1);
  return [...fates].map(([fate, count]) => `${String(count)} ${fate.replaceAll("_", " ")}`).join(", ") || "none found";
}
