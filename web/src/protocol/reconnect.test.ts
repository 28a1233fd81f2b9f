import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { MESSAGE, OTHER, TURN, ack, ask, done, error, gap, ready, setUp, token } from "./rig";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a lost connection", () => {
  it.each([1001, 1006, 1011, 1012, 1013])("resumes after the last event on close %i", async (code) => {
    const { client, online, opened, texts, reload, states } = setUp();
    const first = await online();
    client.ask(ask("hi"));
    first.say(ack());
    first.say(token(1, "a"));
    first.say(token(2, "b"));
    first.onclose?.({ code });
    await vi.advanceTimersByTimeAsync(500);
    const second = await opened();
    expect(second.sent).toEqual([{ type: "auth", token: "fresh", resume: { turn_id: TURN, seq: 2, epoch: 1 } }]);
    second.say(ready(TURN, 3));
    second.say(token(2, "b"));
    second.say(token(3, "c"));
    second.say(done(4));
    expect(second.sent.at(-1)).toEqual({ type: "delivered", message_id: OTHER });
    expect(texts()).toEqual(["a", "b", "c"]);
    expect(reload).not.toHaveBeenCalled();
    expect(states).toEqual(["online", "reconnecting", "online"]);
  });

  it("sends an unacknowledged question again under the same id, and an acknowledged one never", async () => {
    const { client, online, opened } = setUp();
    const first = await online();
    client.ask(ask("hi"));
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

  it("takes the rest of an answer that ended meanwhile, and reloads for what else was missed", async () => {
    const { client, online, opened, reload, texts } = setUp();
    const first = await online();
    client.ask(ask("hi"));
    first.say(ack());
    first.say(token(1, "a"));
    first.onclose?.({ code: 1012 });
    await vi.advanceTimersByTimeAsync(500);
    const second = await opened();
    second.say(ready());
    second.say(token(2, "b"));
    second.say(done(3));
    expect(reload).toHaveBeenCalledTimes(1);
    expect(texts()).toEqual(["a", "b"]);
  });

  it("follows another turn that is being written, and reloads for its own", async () => {
    const { client, online, opened, reload, texts } = setUp();
    const first = await online();
    client.ask(ask("hi"));
    first.say(ack());
    first.say(token(1, "a"));
    first.onclose?.({ code: 1006 });
    await vi.advanceTimersByTimeAsync(500);
    (await opened()).say(ready(OTHER, 3));
    const third = await opened();
    expect(third.sent).toEqual([{ type: "auth", token: "fresh", resume: { turn_id: OTHER, seq: 0 } }]);
    third.say(ready(OTHER, 3));
    third.say(token(1, "b", OTHER));
    expect(reload).toHaveBeenCalledTimes(1);
    expect(texts()).toEqual(["a", "b"]);
  });

  it("takes the text so far in place of events that are kept no longer", async () => {
    const { client, online, opened, texts, sockets } = setUp();
    const first = await online();
    client.ask(ask("hi"));
    first.say(ack());
    first.say(token(1, "a"));
    first.onclose?.({ code: 1006 });
    await vi.advanceTimersByTimeAsync(500);
    const second = await opened();
    second.say(ready(TURN, 9));
    second.say(gap(9, "abc", 2));
    second.say(token(10, "d", TURN, 2));
    expect(texts()).toEqual(["a", "abc", "d"]);
    expect(sockets).toHaveLength(2);
  });

  it("waits at least as long as the reason of a close asks for", async () => {
    const { online, sockets } = setUp();
    (await online()).onclose?.({ code: 1013, reason: "retry_after=30" });
    await vi.advanceTimersByTimeAsync(30_499);
    expect(sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(sockets).toHaveLength(2);
  });

  it("comes back ever slower while the events of a turn keep breaking off", async () => {
    const { client, online, opened, sockets } = setUp();
    const first = await online();
    client.ask(ask("hi"));
    first.say(ack());
    first.say(error("unavailable", { turn_id: TURN }));
    for (const wait of [500, 1_000, 2_000]) {
      const before = sockets.length;
      await vi.advanceTimersByTimeAsync(wait - 1);
      expect(sockets).toHaveLength(before);
      await vi.advanceTimersByTimeAsync(1);
      expect(sockets).toHaveLength(before + 1);
      const next = await opened();
      next.say(ready(TURN, 1));
      next.say(error("unavailable", { turn_id: TURN }));
    }
  });

  it("reloads when a repeated question had been taken already", async () => {
    const { client, opened, reload } = setUp();
    client.start();
    const socket = await opened();
    socket.say(ready());
    client.ask(ask("hi"));
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
    const { online, sockets } = setUp();
    const first = await online();
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
    const { client, online, opened, frames, reload } = setUp();
    const first = await online();
    client.ask(ask("hi"));
    first.say(ack());
    first.say(token(1, "a"));
    first.say(error("unavailable", { id: MESSAGE }));
    expect(first.closedWith).toBe(1000);
    await vi.advanceTimersByTimeAsync(500);
    const second = await opened();
    expect(second.sent).toEqual([{ type: "auth", token: "fresh", resume: { turn_id: TURN, seq: 1, epoch: 1 } }]);
    second.say(ready(TURN, 2));
    second.say(error("not_found", { turn_id: TURN }));
    expect(reload).toHaveBeenCalledTimes(1);
    expect(frames.filter((frame) => frame.type === "error")).toEqual([]);
  });

  it("asks once for events that are missing, then goes on", async () => {
    const { client, online, opened, sockets, texts } = setUp();
    const first = await online();
    client.ask(ask("hi"));
    first.say(ack());
    first.say(token(1, "a"));
    first.say(token(3, "c"));
    const second = await opened();
    expect(second.sent).toEqual([{ type: "auth", token: "fresh", resume: { turn_id: TURN, seq: 1, epoch: 1 } }]);
    second.say(ready(TURN, 3));
    second.say(token(3, "c"));
    expect(texts()).toEqual(["a", "c"]);
    expect(sockets).toHaveLength(2);
  });
});

describe("a server that is about to go", () => {
  async function handedOver() {
    const rig = setUp();
    const old = await rig.online();
    rig.client.ask(ask("hi"));
    old.say(ack());
    old.say(token(1, "a"));
    old.say({ type: "reconnect", within_seconds: 8 });
    await vi.advanceTimersByTimeAsync(7_999);
    expect(rig.sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(rig.sockets).toHaveLength(2);
    return { ...rig, old };
  }

  it("is left for a new socket once that one is ready", async () => {
    const { old, opened, texts, states, reload } = await handedOver();
    old.say(token(2, "b"));
    const fresh = await opened();
    expect(fresh.sent).toEqual([{ type: "auth", token: "fresh", resume: { turn_id: TURN, seq: 2, epoch: 1 } }]);
    old.say(token(3, "c"));
    expect(old.closedWith).toBeUndefined();
    fresh.say(ready(TURN, 3));
    expect(old.closedWith).toBe(1000);
    fresh.say(token(3, "c"));
    fresh.say(token(4, "d"));
    expect(texts()).toEqual(["a", "b", "c", "d"]);
    expect(states).toEqual(["online"]);
    expect(reload).not.toHaveBeenCalled();
  });

  it("still answers while the new socket does not get through", async () => {
    const { old, opened, sockets, texts, states } = await handedOver();
    (await opened()).onclose?.({ code: 1013 });
    old.say(token(2, "b"));
    expect(texts()).toEqual(["a", "b"]);
    await vi.advanceTimersByTimeAsync(500);
    expect(sockets).toHaveLength(3);
    (await opened()).say(ready(TURN, 2));
    expect(old.closedWith).toBe(1000);
    expect(states).toEqual(["online"]);
  });

  it("may go before the new socket is ready", async () => {
    const { old, opened, sockets, states } = await handedOver();
    old.onclose?.({ code: 1012 });
    expect(states).toEqual(["online", "reconnecting"]);
    (await opened()).say(ready(TURN, 1));
    expect(states).toEqual(["online", "reconnecting", "online"]);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(sockets).toHaveLength(2);
  });

  it("may go before the moment to move over", async () => {
    const { online, sockets } = setUp();
    const old = await online();
    old.say({ type: "reconnect", within_seconds: 60 });
    old.onclose?.({ code: 1012 });
    await vi.advanceTimersByTimeAsync(500);
    expect(sockets).toHaveLength(2);
  });
});
