/** What the protocol client needs from its surroundings, and what it tells them. */
import type { AckFrame, ErrorFrame, ReadyFrame, TurnFrame } from "./frames";

export type Connection = "connecting" | "online" | "reconnecting" | "gone" | "signed-out";

/** The part of `WebSocket` that is used, so that tests can stand in for it. */
export interface SocketLike {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason?: string }) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}

export interface Tokens {
  token(): Promise<string>;
  /** Rejects when the person has to sign in again; resolves at once when `stale` was replaced already. */
  refresh(stale: string): Promise<string>;
  signedIn(): boolean;
}

export interface Listener {
  connection(state: Connection): void;
  frame(frame: ReadyFrame | AckFrame | TurnFrame | ErrorFrame): void;
  /** Events may have been missed: the stored messages say what happened. Rejects when they cannot be had. */
  reload(): Promise<void>;
}
