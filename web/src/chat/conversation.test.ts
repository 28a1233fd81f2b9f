import { describe, expect, it } from "vitest";

import type { Message } from "../api/types";
import type { QuestionFrame } from "../protocol/frames";
import { EMPTY, answering, reduce, shown } from "./conversation";
import type { Action, ChatFrame, Conversation } from "./conversation";

const usage = { prompt_tokens: 5, completion_tokens: 2, cached_tokens: 0, total_tokens: 7 };
const ready = (active: string | null): ChatFrame => ({
  type: "ready",
  session_id: "s",
  chatbot_id: "b",
  chatbot_name: "Guide",
  greeting: "Hello",
  active_turn: active ? { turn_id: active, epoch: 1, seq: 3 } : null,
  undelivered: [],
  consent: null,
});
const ack = (turn = "t1", id = "c1", message = "m1"): ChatFrame => ({
  type: "ack", id, message_id: message, turn_id: turn, duplicate: false,
});
const token = (seq: number, text: string, turn = "t1"): ChatFrame => ({ type: "token", turn_id: turn, epoch: 1, seq, text });
const done = (turn = "t1", message = "m2", state: "completed" | "interrupted" = "completed"): ChatFrame => ({
  type: "done", turn_id: turn, epoch: 1, seq: 9, message_id: message, state, model: "m", usage,
});
const failure: ChatFrame = {
  type: "error", code: "engine_failed", message: "It failed.", request_id: "r",
  id: null, turn_id: "t1", epoch: 1, seq: 4, retry_after: null,
};
const stored = (id: string, role: Message["role"], turn = "t1", more: Partial<Message> = {}): Message => ({
  id, turn_id: turn, parent_turn_id: null, versions: [turn], role, content: id, state: "completed", citations: [], usage: null,
  feedback: null, delivered_at: null, withheld: false, created_at: "2026-01-01T00:00:00Z", ...more,
});

const frames = (...list: ChatFrame[]): Action => ({ type: "frames", frames: list });
const history = (...messages: Message[]): Action => ({ type: "history", messages });
const play = (...actions: Action[]): Conversation => actions.reduce(reduce, EMPTY);
const ask = (question: QuestionFrame): Action => ({ type: "ask", question });
const why = ask({ type: "message", id: "c1", text: "why?" });
const PAIRS = [
  stored("q1", "user", "t1"),
  stored("a1", "assistant", "t1"),
  stored("q2", "user", "t2", { parent_turn_id: "t1" }),
  stored("a2", "assistant", "t2", { parent_turn_id: "t1" }),
];
const ids = (messages: Message[]) => messages.map((message) => message.id);

describe("an answer", () => {
  it("grows token by token and is stored when it is done", () => {
    const streaming = play(why, frames(ack(), token(1, "Be"), token(2, "cause")));
    expect(streaming.live?.text).toBe("Because");
    expect(answering(streaming)).toBe(true);
    const after = reduce(streaming, frames(done()));
    expect(after.history.map((m) => [m.id, m.role, m.content, m.state])).toEqual([
      ["m1", "user", "why?", "completed"],
      ["m2", "assistant", "Because", "completed"],
    ]);
    expect(after.outgoing).toEqual([]);
    expect(after.live).toBeNull();
    expect(after.wanted).toBe(0);
  });

  it("knows its place in the queue", () => {
    const queued: ChatFrame = { type: "status", turn_id: "t1", epoch: 1, seq: 1, stage: "queued", position: 3 };
    expect(play(why, frames(ack(), queued)).live).toMatchObject({ stage: "queued", position: 3 });
    const writing = play(why, frames(ack(), queued, { ...queued, seq: 2, stage: "retrieving", position: null }));
    expect(writing.live).toMatchObject({ stage: "retrieving", position: null });
  });

  it("is replaced by the text so far when events are gone", () => {
    const gap: ChatFrame = { type: "gap", turn_id: "t1", epoch: 2, seq: 8, text: "Bec" };
    expect(play(why, frames(ack(), token(1, "Because"), gap, token(9, "ome"))).live?.text).toBe("Become");
  });

  it("is shown once when the history arrives with what was streamed", () => {
    const before = play(why, frames(ack(), token(1, "x")), history(stored("m1", "user"), stored("m2", "assistant")));
    expect(before.outgoing).toEqual([]);
    expect(before.live).toBeNull();
    const late = reduce(before, frames(token(2, "y")));
    expect(late.live).toBeNull();
    expect(reduce(late, frames(done())).history).toHaveLength(2);
  });

  it("stays until the history replaces it when the server forgot the turn", () => {
    const lost = play(why, frames(ack(), token(1, "half"), ready(null)));
    expect(lost.live?.text).toBe("half");
    expect(answering(lost)).toBe(false);
    expect(reduce(lost, history(stored("m1", "user", "t1", { state: "running" }))).live).toBeNull();
  });

  it("goes on over a reconnection", () => {
    const resumed = play(why, frames(ack(), token(1, "half"), ready("t1"), token(2, " more")));
    expect(resumed.live?.text).toBe("half more");
    expect(answering(resumed)).toBe(true);
  });

  it("keeps its text when it was interrupted", () => {
    const cut = play(why, frames(ack(), token(1, "half"), done("t1", "m2", "interrupted")));
    expect(cut.history.at(-1)).toMatchObject({ content: "half", state: "interrupted" });
  });

  it("that failed leaves a failure, which a new question clears", () => {
    const failed = play(why, frames(ack(), failure));
    expect(failed.live?.failure).toBe("It failed.");
    expect(failed.history[0]).toMatchObject({ content: "why?", state: "failed" });
    expect(answering(failed)).toBe(false);
    expect(reduce(failed, ask({ type: "message", id: "c2", text: "again" })).live).toBeNull();
  });

  it("takes a rating, and gives it back", () => {
    const feedback = { rating: "up", comment: "Yes." } as const;
    const rated = play(history(...PAIRS), { type: "rated", messageId: "a1", feedback });
    expect(rated.history.map((message) => message.feedback)).toEqual([null, feedback, null, null]);
    expect(reduce(rated, { type: "rated", messageId: "a1", feedback: null }).history).toEqual(PAIRS);
  });
});

describe("a question", () => {
  it("that was refused can be asked again or discarded", () => {
    const refused = play(why, frames({ ...failure, id: "c1", turn_id: null, seq: null, message: "Busy." }));
    expect(refused.outgoing).toMatchObject([{ status: "failed", error: "Busy." }]);
    expect(reduce(refused, why).outgoing).toMatchObject([{ status: "sending", error: null }]);
    expect(reduce(refused, { type: "discard", id: "c1" }).outgoing).toEqual([]);
    expect(refused.closed).toBe(false);
  });

  it("to a closed session says so", () => {
    const refused = play(why, frames({ ...failure, code: "session_closed", id: "c1", turn_id: null, seq: null }));
    expect(refused.closed).toBe(true);
  });

  it("asked twice does not revive a turn that the history shows as ended", () => {
    const again = play(why, history(stored("m1", "user"), stored("m2", "assistant")), frames(ack()));
    expect(again.live).toBeNull();
    expect(again.outgoing).toEqual([]);
  });
});

describe("a turn of another tab", () => {
  it("is shown live, and its question is wanted when it begins and its place when it ends", () => {
    const begun = play(history(...PAIRS), frames(token(1, "Hi", "t3"), token(2, " you", "t3")));
    expect(begun.live).toMatchObject({ turnId: "t3", text: "Hi you" });
    expect(begun.wanted).toBe(1);
    const asked = reduce(begun, history(...PAIRS, stored("q3", "user", "t3", { state: "running" })));
    expect(asked.live?.text).toBe("Hi you");
    const after = reduce(asked, frames(done("t3", "a3")));
    expect(ids(after.history)).toEqual(["q1", "a1", "q2", "a2", "q3", "a3"]);
    expect(after.history.slice(-2).map((m) => [m.role, m.content, m.state])).toEqual([
      ["user", "q3", "completed"],
      ["assistant", "Hi you", "completed"],
    ]);
    expect(after.wanted).toBe(2);
  });

  it("whose text was not seen is not shown as an empty answer", () => {
    const after = play(history(...PAIRS), frames(done("t3", "a3")));
    expect(ids(after.history)).toEqual(ids(PAIRS));
    expect(after.wanted).toBeGreaterThan(0);
  });

  it("that failed is looked up", () => {
    expect(play(history(...PAIRS), frames({ ...failure, turn_id: "t3" } as ChatFrame)).wanted).toBeGreaterThan(0);
  });
});

describe("an edited question", () => {
  const edit = ask({ type: "message", id: "c9", text: "better", edits: "q1" });

  it("takes the place of the old one and of all that came after it", () => {
    const asked = play(history(...PAIRS), edit);
    expect(shown(asked)).toEqual([]);
    expect(asked.history).toEqual(PAIRS);
    const after = reduce(asked, frames(ack("t9", "c9", "q9"), token(1, "ok", "t9"), done("t9", "a9")));
    expect(ids(shown(after))).toEqual(["q9", "a9"]);
    expect(after.history.map((m) => [m.turn_id, m.parent_turn_id, m.versions])).toEqual([
      ["t9", null, ["t1", "t9"]],
      ["t9", null, ["t1", "t9"]],
    ]);
    expect(after.wanted).toBe(1);
  });

  it("gives the old one back when it is discarded", () => {
    const refused = play(history(...PAIRS), edit, frames({ ...failure, id: "c9", turn_id: null, seq: null }));
    expect(shown(refused)).toEqual([]);
    expect(shown(reduce(refused, { type: "discard", id: "c9" }))).toEqual(PAIRS);
  });
});

describe("an answer given again", () => {
  const again = ask({ type: "regenerate", id: "c9", turn_id: "t2" });

  it("keeps the question, replaces the answer and becomes another version", () => {
    const asked = play(history(...PAIRS), again);
    expect(ids(shown(asked))).toEqual(["q1", "a1", "q2"]);
    const streaming = reduce(asked, frames(ack("t9", "c9", "q2"), token(1, "ok", "t9")));
    expect(ids(shown(streaming))).toEqual(["q1", "a1", "q2"]);
    expect(streaming.live?.text).toBe("ok");
    const after = reduce(streaming, frames(done("t9", "a9")));
    expect(ids(after.history)).toEqual(["q1", "a1", "q2", "a9"]);
    expect(after.history.slice(2).map((m) => [m.turn_id, m.parent_turn_id, m.versions])).toEqual([
      ["t9", "t1", ["t2", "t9"]],
      ["t9", "t1", ["t2", "t9"]],
    ]);
    expect(after.wanted).toBe(1);
  });

  it("follows a question that had none", () => {
    const unanswered = PAIRS.slice(0, 3);
    const after = play(history(...unanswered), again, frames(ack("t9", "c9", "q2"), token(1, "ok", "t9"), done("t9", "a9")));
    expect(ids(after.history)).toEqual(["q1", "a1", "q2", "a9"]);
    expect(after.history.at(-1)).toMatchObject({ role: "assistant", content: "ok", versions: ["t2", "t9"] });
  });

  it("is shown once when the history knows the new turn already", () => {
    const question = stored("q2", "user", "t9", { parent_turn_id: "t1", versions: ["t2", "t9"], state: "running" });
    const streaming = play(
      history(...PAIRS), again, frames(ack("t9", "c9", "q2"), token(1, "ok", "t9")), history(...PAIRS.slice(0, 2), question),
    );
    expect(streaming.outgoing).toEqual([]);
    expect(ids(shown(streaming))).toEqual(["q1", "a1", "q2"]);
    expect(streaming.live?.text).toBe("ok");
  });
});
