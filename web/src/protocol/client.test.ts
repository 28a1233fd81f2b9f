import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { MESSAGE, OTHER, TURN, ack, ask, done, error, ready, setUp, token } from "./rig";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a first connection", () => {
  it("authenticates before anything else and sends what was waiting after ready", async () => {
    const { client, opened, states } = setUp();
    client.ask(ask("hi"));
    client.start();
    const socket = await opened();
    expect(socket.sent).toEqual([{ type: "auth", token: "fresh" }]);
    socket.say(ready());
    expect(socket.sent[1]).toEqual({ type: "message", id: MESSAGE, text: "hi" });
    expect(states).toEqual(["online"]);
  });

  it("follows an answer it did not know of by resuming from its start", async () => {
    const { client, opened, sockets, texts } = setUp();
    client.start();
    (await opened()).say(ready(TURN, 7));
    const second = await opened();
    expect(sockets).toHaveLength(2);
    expect(second.sent).toEqual([{ type: "auth", token: "fresh", resume: { turn_id: TURN, seq: 0 } }]);
    second.say(ready(TURN, 7));
    second.say(token(1, "a"));
    expect(texts()).toEqual(["a"]);
  });

  it("connects again when ready does not come", async () => {
    const { client, opened, sockets } = setUp();
    client.start();
    const first = await opened();
    await vi.advanceTimersByTimeAsync(16_000);
    expect(first.closedWith).toBe(1000);
    expect(sockets).toHaveLength(2);
  });

  it("ignores what it does not understand", async () => {
    const { client, opened, frames } = setUp();
    client.start();
    const socket = await opened();
    for (const data of ["{", "[]", "null", '{"type":"toString"}', '{"type":"later"}', new ArrayBuffer(2)]) {
      socket.onmessage?.({ data });
    }
    expect(frames).toEqual([]);
  });
});

describe("close codes that ask for something else", () => {
  it("renews a refused token and gives up after three refusals", async () => {
    const { client, opened, tokens, sockets, states } = setUp();
    client.start();
    for (let refused = 1; refused <= 4; refused += 1) {
      (await opened()).onclose?.({ code: 4401 });
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(tokens.refresh).toHaveBeenCalledTimes(3);
    expect(tokens.refresh).toHaveBeenCalledWith("fresh");
    expect(sockets).toHaveLength(4);
    expect(states.at(-1)).toBe("signed-out");
  });

  it("does not come back to a session that is gone", async () => {
    const { client, opened, sockets, states } = setUp();
    client.start();
    (await opened()).onclose?.({ code: 4404 });
    client.wake();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sockets).toHaveLength(1);
    expect(states).toEqual(["gone"]);
  });

  it("does not repeat a question that made the server close", async () => {
    const { client, opened, frames } = setUp();
    client.start();
    const first = await opened();
    first.say(ready());
    client.ask(ask("x"));
    first.onclose?.({ code: 1009 });
    expect(frames.at(-1)).toMatchObject({ type: "error", id: MESSAGE });
    await vi.advanceTimersByTimeAsync(500);
    const second = await opened();
    second.say(ready());
    expect(second.sent).toHaveLength(1);
  });
});

describe("a turn", () => {
  it("ends with an error frame and lets the next question through", async () => {
    const { client, online, frames } = setUp();
    const socket = await online();
    client.ask(ask("x"));
    socket.say(ack());
    socket.say(error("engine_failed", { turn_id: TURN, epoch: 1, seq: 2 }));
    expect(frames.at(-1)).toMatchObject({ type: "error", turn_id: TURN });
    socket.say(token(3, "late"));
    expect(frames.at(-1)).toMatchObject({ type: "error" });
    client.stop();
    expect(socket.sent.at(-1)).toEqual({ type: "stop" });
  });

  it("is stopped by its id, and close ends everything", async () => {
    const { client, online, sockets } = setUp();
    const socket = await online();
    client.ask(ask("x"));
    socket.say(ack());
    client.stop();
    expect(socket.sent.at(-1)).toEqual({ type: "stop", turn_id: TURN });
    client.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(socket.closedWith).toBe(1000);
    expect(sockets).toHaveLength(1);
  });

  it("says that its answer was shown", async () => {
    const { client, online } = setUp();
    const socket = await online();
    client.ask(ask("x"));
    socket.say(ack());
    socket.say(token(1, "a"));
    socket.say(done(2));
    expect(socket.sent.at(-1)).toEqual({ type: "delivered", message_id: OTHER });
    socket.say(done(2));
    expect(socket.sent.filter((frame) => frame.type === "delivered")).toHaveLength(1);
  });

  it("is asked for again by regenerate, and a message may replace another", async () => {
    const { client, online } = setUp();
    const socket = await online();
    client.ask({ type: "regenerate", id: MESSAGE, turn_id: TURN });
    client.ask({ ...ask("better", OTHER), edits: MESSAGE });
    expect(socket.sent.slice(1)).toEqual([
      { type: "regenerate", id: MESSAGE, turn_id: TURN },
      { type: "message", id: OTHER, text: "better", edits: MESSAGE },
    ]);
  });

  it("that is not running any more is looked up in the stored messages", async () => {
    const { client, online, frames, reload } = setUp();
    const socket = await online();
    client.stop();
    socket.say(error("turn_not_running", { turn_id: TURN }));
    expect(reload).toHaveBeenCalledTimes(1);
    expect(frames.filter((frame) => frame.type === "error")).toEqual([]);
  });

  it("refused with its question can be asked again under the same id", async () => {
    const { client, online, frames } = setUp();
    const socket = await online();
    client.ask(ask("x"));
    socket.say(error("session_closed", { id: MESSAGE }));
    expect(frames.at(-1)).toMatchObject({ type: "error", code: "session_closed", id: MESSAGE });
    client.ask(ask("x"));
    expect(socket.sent.slice(1)).toEqual([ask("x"), ask("x")]);
  });
});

describe("a turn of another tab", () => {
  it("is followed without an ack, and its end is confirmed", async () => {
    const { online, texts, frames } = setUp();
    const socket = await online();
    socket.say(token(1, "a"));
    socket.say(token(2, "b"));
    socket.say(done(3));
    expect(texts()).toEqual(["a", "b"]);
    expect(frames.at(-1)).toMatchObject({ type: "done" });
    expect(socket.sent.at(-1)).toEqual({ type: "delivered", message_id: OTHER });
  });

  it("is resumed from its start when its beginning was missed", async () => {
    const { online, opened, texts } = setUp();
    (await online()).say(token(4, "d"));
    const second = await opened();
    expect(second.sent).toEqual([{ type: "auth", token: "fresh", resume: { turn_id: TURN, seq: 0 } }]);
    second.say(ready(TURN, 4));
    second.say({ ...token(4, "abcd"), first_seq: 1 });
    expect(texts()).toEqual(["abcd"]);
  });

  it("takes the place of one whose end was not seen, which is then looked up", async () => {
    const { client, online, texts, reload } = setUp();
    const socket = await online();
    client.ask(ask("x"));
    socket.say(ack());
    socket.say(token(1, "mine"));
    socket.say(token(1, "theirs", OTHER));
    socket.say(token(2, "late"));
    expect(texts()).toEqual(["mine", "theirs"]);
    expect(reload).toHaveBeenCalledTimes(1);
    client.stop();
    expect(socket.sent.at(-1)).toEqual({ type: "stop", turn_id: OTHER });
  });
});

describe("answers that nobody took", () => {
  it("are fetched, and only then confirmed", async () => {
    const { client, opened, reload } = setUp();
    let loaded: () => void = () => undefined;
    reload.mockReturnValue(new Promise((resolve) => (loaded = resolve)));
    client.start();
    const socket = await opened();
    socket.say(ready(null, 0, [MESSAGE, OTHER]));
    await vi.advanceTimersByTimeAsync(0);
    expect(reload).toHaveBeenCalledTimes(1);
    expect(socket.sent).toHaveLength(1);
    loaded();
    await vi.advanceTimersByTimeAsync(0);
    expect(socket.sent.at(-1)).toEqual({ type: "delivered", message_id: OTHER });
  });

  it("are not confirmed when they could not be fetched", async () => {
    const { client, opened, reload } = setUp();
    reload.mockRejectedValue(new Error("offline"));
    client.start();
    const socket = await opened();
    socket.say(ready(null, 0, [OTHER]));
    await vi.advanceTimersByTimeAsync(0);
    expect(reload).toHaveBeenCalledTimes(1);
    expect(socket.sent).toHaveLength(1);
  });
});
