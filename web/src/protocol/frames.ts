/** The frames of the chat protocol, as `docs/protocol.schema.json` defines them. */

export interface Resume {
  turn_id: string;
  /** Every event up to this one was seen; it was one of `epoch`. */
  seq: number;
  /** Left out while no event of the turn was seen. */
  epoch?: number;
}

/** A question; in place of the message that it `edits`, when it does. */
export interface MessageFrame {
  type: "message";
  /** A UUID of this page's: sending it again never makes a second turn. */
  id: string;
  text: string;
  edits?: string;
}

/** The question of a turn, to be answered again. */
export interface RegenerateFrame {
  type: "regenerate";
  id: string;
  turn_id: string;
}

export type QuestionFrame = MessageFrame | RegenerateFrame;

export type ClientFrame =
  | { type: "auth"; token: string; resume?: Resume }
  | QuestionFrame
  | { type: "stop"; turn_id?: string }
  | { type: "delivered"; message_id: string }
  | { type: "ping"; nonce: string };

export interface Citation {
  position: number;
  document_id: string;
  document_name: string;
  page: number | null;
  section: string | null;
  start: number;
  end: number;
  snippet: string;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  total_tokens: number;
}

export interface ReadyFrame {
  type: "ready";
  session_id: string;
  chatbot_id: string;
  chatbot_name: string;
  greeting: string;
  active_turn: { turn_id: string; epoch: number; seq: number } | null;
  /** Answers that ended while nobody took them, oldest first. */
  undelivered: { turn_id: string; message_id: string }[];
  /** What the visitor has to agree to before a message is taken. */
  consent: { policy_url: string; policy_version: string } | null;
}

export interface AckFrame {
  type: "ack";
  id: string;
  message_id: string;
  turn_id: string;
  duplicate: boolean;
}

/** An event of a turn. */
interface Numbered {
  turn_id: string;
  /** Grows when another process takes the turn over; the numbers go on. */
  epoch: number;
  /** 1, 2, 3 … without gaps within a turn. */
  seq: number;
}

export interface StatusFrame extends Numbered {
  type: "status";
  stage: "queued" | "retrieving" | "starting" | "generating";
  /** While queued: 1 is next. */
  position: number | null;
}

export interface TokenFrame extends Numbered {
  type: "token";
  /** Where the reader is slow, one frame stands for the events `first_seq` to `seq`. */
  first_seq?: number | null;
  text: string;
}

/** The events up to `seq` are kept no longer; `text` is the whole answer so far in their place. */
export interface GapFrame extends Numbered {
  type: "gap";
  text: string;
}

export interface CitationsFrame extends Numbered {
  type: "citations";
  citations: Citation[];
}

export interface DoneFrame extends Numbered {
  type: "done";
  message_id: string;
  state: "completed" | "stopped" | "interrupted";
  model: string;
  usage: Usage;
  /** What the bot's checks did, if anything. */
  guard?: "flagged" | "redacted" | "blocked" | null;
  /** How the answer was found that had been kept from an earlier question. */
  cached?: "exact" | "semantic" | null;
}

/** With `turn_id` and `seq` it is the last event of that turn. */
export interface ErrorFrame {
  type: "error";
  code: string;
  message: string;
  request_id: string;
  id: string | null;
  turn_id: string | null;
  epoch: number | null;
  seq: number | null;
  retry_after: number | null;
}

/** The server is about to close this socket: open another one at a random moment in this time, and resume there. */
export interface ReconnectFrame {
  type: "reconnect";
  within_seconds: number;
}

export interface PongFrame {
  type: "pong";
  nonce: string;
}

export type TurnFrame = StatusFrame | TokenFrame | GapFrame | CitationsFrame | DoneFrame;
export type ServerFrame = ReadyFrame | AckFrame | TurnFrame | ErrorFrame | ReconnectFrame | PongFrame;

type Fields = { [T in ServerFrame["type"]]: readonly Exclude<keyof Extract<ServerFrame, { type: T }>, "type">[] };

/** The fields of each server frame; a test holds them against the published schema. */
export const SERVER_FIELDS: Fields = {
  ready: ["session_id", "chatbot_id", "chatbot_name", "greeting", "active_turn", "undelivered", "consent"],
  ack: ["id", "message_id", "turn_id", "duplicate"],
  status: ["turn_id", "epoch", "seq", "stage", "position"],
  token: ["turn_id", "epoch", "seq", "first_seq", "text"],
  gap: ["turn_id", "epoch", "seq", "text"],
  citations: ["turn_id", "epoch", "seq", "citations"],
  done: ["turn_id", "epoch", "seq", "message_id", "state", "model", "usage", "guard", "cached"],
  error: ["code", "message", "request_id", "id", "turn_id", "epoch", "seq", "retry_after"],
  reconnect: ["within_seconds"],
  pong: ["nonce"],
};

/** The frame in a text message, or null for anything this page does not know: newer servers may say more. */
export function parseFrame(data: unknown): ServerFrame | null {
  if (typeof data !== "string") return null;
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("type" in value)) return null;
  const { type } = value;
  if (typeof type !== "string" || !Object.hasOwn(SERVER_FIELDS, type)) return null;
  return value as ServerFrame;
}

/** The error of a question that made the server close the socket. */
export function refusal(id: string): ErrorFrame {
  const message = "The server did not accept this message.";
  const about = { id, turn_id: null, epoch: null, seq: null, retry_after: null };
  return { type: "error", code: "refused", message, request_id: "", ...about };
}
