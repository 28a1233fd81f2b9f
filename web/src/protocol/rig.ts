/** A client on fake sockets, and the frames that a server would send: for tests. */
import { vi } from "vitest";

import { ChatClient } from "./client";
import type { Connection, SocketLike } from "./ports";
import type { ClientFrame, ErrorFrame, MessageFrame, ServerFrame, TokenFrame } from "./frames";

export const TURN = "11111111-1111-4111-8111-111111111111";
export const OTHER = "22222222-2222-4222-8222-222222222222";
export const MESSAGE = "33333333-3333-4333-8333-333333333333";

export class FakeSocket implements SocketLike {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason?: string }) => void) | null = null;
  sent: ClientFrame[] = [];
  closedWith: number | undefined;

  send(data: string): void {
    this.sent.push(JSON.parse(data) as ClientFrame);
  }
  close(code?: number): void {
    this.closedWith = code ?? 1005;
  }
  say(frame: ServerFrame): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

export const ready = (active: string | null = null, seq = 0, undelivered: string[] = []): ServerFrame => ({
  type: "ready",
  session_id: OTHER,
  chatbot_id: OTHER,
  chatbot_name: "Guide",
  greeting: "Hello",
  active_turn: active ? { turn_id: active, epoch: 1, seq } : null,
  undelivered: undelivered.map((message_id) => ({ turn_id: OTHER, message_id })),
  consent: null,
});
export const ack = (id = MESSAGE, turn = TURN, duplicate = false): ServerFrame => ({
  type: "ack",
  id,
  message_id: OTHER,
  turn_id: turn,
  duplicate,
});
export const token = (seq: number, text: string, turn = TURN, epoch = 1): TokenFrame => ({
  type: "token",
  turn_id: turn,
  epoch,
  seq,
  text,
});
export const gap = (seq: number, text: string, epoch = 1): ServerFrame => ({
  type: "gap",
  turn_id: TURN,
  epoch,
  seq,
  text,
});
export const done = (seq: number, turn = TURN, epoch = 1): ServerFrame => ({
  type: "done",
  turn_id: turn,
  epoch,
  seq,
  message_id: OTHER,
  state: "completed",
  model: "m",
  usage: { prompt_tokens: 1, completion_tokens: 1, cached_tokens: 0, total_tokens: 2 },
});
export const error = (code: string, about: Partial<ErrorFrame> = {}): ErrorFrame => ({
  type: "error",
  code,
  message: "No.",
  request_id: "r",
  id: null,
  turn_id: null,
  epoch: null,
  seq: null,
  retry_after: null,
  ...about,
});
export const ask = (text: string, id = MESSAGE): MessageFrame => ({ type: "message", id, text });

export function setUp() {
  const sockets: FakeSocket[] = [];
  const states: Connection[] = [];
  const frames: ServerFrame[] = [];
  const reload = vi.fn(() => Promise.resolve());
  const tokens = {
    token: vi.fn(() => Promise.resolve("fresh")),
    refresh: vi.fn((stale: string) => Promise.resolve(stale + "+")),
    signedIn: vi.fn(() => true),
  };
  const client = new ChatClient(
    "ws://test/ws",
    tokens,
    { connection: (s) => states.push(s), frame: (f) => frames.push(f), reload },
    () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    () => 1,
  );
  const socket = () => {
    const last = sockets.at(-1);
    if (!last) throw new Error("no socket was opened");
    return last;
  };
  const opened = async () => {
    await vi.advanceTimersByTimeAsync(0);
    socket().onopen?.();
    return socket();
  };
  const texts = () => frames.flatMap((f) => (f.type === "token" || f.type === "gap" ? [f.text] : []));
  /** A client that is online on its first socket. */
  const online = async () => {
    client.start();
    const first = await opened();
    first.say(ready());
    return first;
  };
  return { client, sockets, states, frames, reload, tokens, opened, online, texts };
}
