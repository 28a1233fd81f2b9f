import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { MESSAGE, TURN, ack, done, ready, setUp, token } from "./rig";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a lost connection", () => {
  it.each([1001, 1006, 1011, 1012, 1013])("resumes after the last event on close %i", async (code) => {
    const { client, opened, texts, reload, states } = setUp();
    client.start();
    const first = await opened();
    first.say(ready());
    client.send(MESSAGE, "hi");
    first.say(ack());
    first.say(token(1, "a"));
    first.say(token(2, "b"));
    first.onclose?.({ code });
    await vi.advanceTimersByTimeAsync(500);
    const second = await opened();
    expect(second.sent).toEqual([{ type: "auth", token: "fresh", resume: { turn_id: TURN, seq: 2 } }]);
    second.say(ready(TURN, 3));
    second.say(token(2, "b"));
    second.say(token(3, "c"));
    second.say(done(4));
    expect(texts()).toEqual(["a", "b", "c"]);
    expect(reload).not.toHaveBeenCalled();
    expect(states).toEqual(["online", "reconnecting", "online"]);
  });

  it("sends an unacknowledged question again under the same id, and an acknowledged one never", async () => {
    const { client, opened } = setUp();
    client.start();
    const first = await opened();
    first.say(ready());
    client.send(MESSAGE, "hi");
    first.onclose?.({ code: 1006 });
    await vi.advanceTimersByTimeAsync(500);
    const second = await opened();
    second.say(ready());
    expect(second.sent[1]).toEqual({ type: "message", id: MESSAGE, text: "hi" });
    second.say(ack());
    second.say(done(1));
    second.onclose?.({ code: 1006 });
    await vi.advanceTimersByTimeAsync(500);
    const third = await opened();
    third.say(ready());
    expect(third.sent).toEqual([{ type: "auth", token: "fresh" }]);
  });

  it("reloads when the answer ended meanwhile, and takes no late event of it", async () => {
    const { client, opened, reload, texts } = setUp();
    client.start();
    const first = await opened();
    first.say(ready());
    client.send(MESSAGE, "hi");
    first.say(ack());
    first.say(token(1, "a"));
    first.onclose?.({ code: 1012 });
    await vi.advanceTimersByTimeAsync(500);
    const second = await opened();
    second.say(ready());
    second.say(token(2, "b"));
    expect(reload).toHaveBeenCalledTimes(1);
    expect(texts()).toEqual(["a"]);
  });

  it("reloads when a repeated question had been taken already", async () => {
    const { client, opened, reload } = setUp();
    client.start();
    const socket = await opened();
    socket.say(ready());
    client.send(MESSAGE, "hi");
    socket.say(ack(MESSAGE, TURN, true));
    expect(reload).toHaveBeenCalledTimes(1);
  });

  it("waits longer each time, at most 15 s, and not at all once woken", async () => {
    const { client, opened, sockets } = setUp();
    client.start();
    for (const wait of [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]) {
      const failing = await opened();
      const before = sockets.length;
      failing.onclose?.({ code: 1006 });
      await vi.advanceTimersByTimeAsync(wait - 1);
      expect(sockets).toHaveLength(before);
      await vi.advanceTimersByTimeAsync(1);
      expect(sockets).toHaveLength(before + 1);
    }
    (await opened()).onclose?.({ code: 1006 });
    const before = sockets.length;
    client.wake();
    await vi.advanceTimersByTimeAsync(0);
    expect(sockets).toHaveLength(before + 1);
  });

  it("notices silence by the heartbeat", async () => {
    const { client, opened, sockets } = setUp();
    client.start();
    const first = await opened();
    first.say(ready());
    await vi.advanceTimersByTimeAsync(20_000);
    expect(first.sent.at(-1)).toEqual({ type: "ping", nonce: "" });
    first.say({ type: "pong", nonce: "" });
    await vi.advanceTimersByTimeAsync(40_000);
    expect(sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(21_000);
    expect(first.closedWith).toBe(1000);
    expect(sockets).toHaveLength(2);
  });

  it("resumes when the stream of an accepted question breaks, and reloads when the turn is unknown", async () => {
    const { client, opened, frames, reload } = setUp();
    client.start();
    const first = await opened();
    first.say(ready());
    client.send(MESSAGE, "hi");
    first.say(ack());
    first.say(token(1, "a"));
    const error = { type: "error", request_id: "r", turn_id: null, seq: null, retry_after: null } as const;
    first.say({ ...error, code: "unavailable", message: "Away.", id: MESSAGE });
    expect(first.closedWith).toBe(1000);
    await vi.advanceTimersByTimeAsync(500);
    const second = await opened();
    expect(second.sent).toEqual([{ type: "auth", token: "fresh", resume: { turn_id: TURN, seq: 1 } }]);
    second.say(ready(TURN, 2));
    second.say({ ...error, code: "not_found", message: "No such turn.", id: null });
    expect(reload).toHaveBeenCalledTimes(1);
    expect(frames.filter((frame) => frame.type === "error")).toEqual([]);
  });

  it("asks once for events that are missing, then goes on", async () => {
    const { client, opened, sockets, texts } = setUp();
    client.start();
    const first = await opened();
    first.say(ready());
    client.send(MESSAGE, "hi");
    first.say(ack());
    first.say(token(1, "a"));
    first.say(token(3, "c"));
    const second = await opened();
    expect(second.sent).toEqual([{ type: "auth", token: "fresh", resume: { turn_id: TURN, seq: 1 } }]);
    second.say(ready(TURN, 3));
    second.say(token(3, "c"));
    expect(texts()).toEqual(["a", "c"]);
    expect(sockets).toHaveLength(2);
  });
});
