import { describe, expect, it } from "vitest";

import type { Message } from "../api/types";
import { EMPTY, answering, reduce } from "./conversation";
import type { Action, ChatFrame, Conversation } from "./conversation";

const usage = { prompt_tokens: 5, completion_tokens: 2, cached_tokens: 0, total_tokens: 7 };
const ready = (active: string | null): ChatFrame => ({
  type: "ready",
  session_id: "s",
  chatbot_id: "b",
  chatbot_name: "Guide",
  greeting: "Hello",
  active_turn: active ? { turn_id: active, seq: 3 } : null,
});
const ack: ChatFrame = { type: "ack", id: "c1", message_id: "m1", turn_id: "t1", duplicate: false };
const token = (seq: number, text: string): ChatFrame => ({ type: "token", turn_id: "t1", seq, text });
const done: ChatFrame = { type: "done", turn_id: "t1", seq: 9, message_id: "m2", state: "completed", model: "m", usage };
const failure: ChatFrame = {
  type: "error", code: "engine_failed", message: "It failed.", request_id: "r",
  id: null, turn_id: "t1", seq: 4, retry_after: null,
};
const stored = (id: string, role: Message["role"], state: Message["state"] = "completed"): Message => ({
  id, turn_id: "t1", role, content: role, state, citations: [], usage: null, created_at: "2026-01-01T00:00:00Z",
});

const frames = (...list: ChatFrame[]): Action => ({ type: "frames", frames: list });
const play = (...actions: Action[]): Conversation => actions.reduce(reduce, EMPTY);
const send: Action = { type: "send", id: "c1", text: "why?" };

describe("conversation", () => {
  it("grows an answer token by token and stores it when it is done", () => {
    const streaming = play(send, frames(ack, token(1, "Be"), token(2, "cause")));
    expect(streaming.live?.text).toBe("Because");
    expect(answering(streaming)).toBe(true);
    const after = reduce(streaming, frames(done));
    expect(after.history.map((m) => [m.role, m.content, m.state])).toEqual([
      ["user", "why?", "completed"],
      ["assistant", "Because", "completed"],
    ]);
    expect(after.outgoing).toEqual([]);
    expect(after.live).toBeNull();
  });

  it("shows nothing twice when the history arrives with what was streamed", () => {
    const messages = [stored("m1", "user"), stored("m2", "assistant")];
    const before = play(send, frames(ack, token(1, "x")), { type: "history", messages });
    expect(before.outgoing).toEqual([]);
    expect(before.live).toBeNull();
    const twice = reduce(before, frames(done));
    expect(twice.history).toHaveLength(2);
  });

  it("keeps the partial answer until the history replaces it when the server forgot the turn", () => {
    const lost = play(send, frames(ack, token(1, "half"), ready(null)));
    expect(lost.live?.text).toBe("half");
    expect(answering(lost)).toBe(false);
    expect(reduce(lost, { type: "history", messages: [stored("m1", "user", "running")] }).live).toBeNull();
  });

  it("keeps a turn going over a reconnection", () => {
    const resumed = play(send, frames(ack, token(1, "half"), ready("t1"), token(2, " more")));
    expect(resumed.live?.text).toBe("half more");
    expect(answering(resumed)).toBe(true);
  });

  it("turns an error of the turn into a failure that a new question clears", () => {
    const failed = play(send, frames(ack, failure));
    expect(failed.live?.failure).toBe("It failed.");
    expect(failed.history[0]).toMatchObject({ content: "why?", state: "failed" });
    expect(answering(failed)).toBe(false);
    expect(reduce(failed, { type: "send", id: "c2", text: "again" }).live).toBeNull();
  });

  it("marks a refused question and lets it be discarded", () => {
    const refused = play(send, frames({ ...failure, id: "c1", turn_id: null, message: "Busy." }));
    expect(refused.outgoing[0]).toMatchObject({ status: "failed", error: "Busy." });
    expect(reduce(refused, { type: "discard", id: "c1" }).outgoing).toEqual([]);
  });

  it("does not revive a turn that the history shows as ended", () => {
    const messages = [stored("m1", "user"), stored("m2", "assistant")];
    const again = play(send, { type: "history", messages }, frames({ ...ack, duplicate: true } as ChatFrame));
    expect(again.live).toBeNull();
    expect(again.outgoing).toEqual([]);
  });
});
