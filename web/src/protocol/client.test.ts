import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { MESSAGE, TURN, ack, ready, setUp, token } from "./rig";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a first connection", () => {
  it("authenticates before anything else and sends what was waiting after ready", async () => {
    const { client, opened, states } = setUp();
    client.send(MESSAGE, "hi");
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
    client.send(MESSAGE, "x");
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
    const { client, opened, frames } = setUp();
    client.start();
    const socket = await opened();
    socket.say(ready());
    client.send(MESSAGE, "x");
    socket.say(ack());
    const about = { id: null, turn_id: TURN, seq: 2, retry_after: null };
    socket.say({ type: "error", code: "engine_failed", message: "No.", request_id: "r", ...about });
    expect(frames.at(-1)).toMatchObject({ type: "error", turn_id: TURN });
    socket.say(token(3, "late"));
    expect(frames.at(-1)).toMatchObject({ type: "error" });
    client.stop();
    expect(socket.sent.at(-1)).toEqual({ type: "stop" });
  });

  it("is stopped by its id, and close ends everything", async () => {
    const { client, opened, sockets } = setUp();
    client.start();
    const socket = await opened();
    socket.say(ready());
    client.send(MESSAGE, "x");
    socket.say(ack());
    client.stop();
    expect(socket.sent.at(-1)).toEqual({ type: "stop", turn_id: TURN });
    client.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(socket.closedWith).toBe(1000);
    expect(sockets).toHaveLength(1);
  });
});
