/** The frames of the chat protocol, as `docs/protocol.schema.json` defines them. */

export interface Resume {
  turn_id: string;
  seq: number;
}

export type ClientFrame =
  | { type: "auth"; token: string; resume?: Resume }
  | { type: "message"; id: string; text: string }
  | { type: "stop"; turn_id?: string }
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
  active_turn: Resume | null;
}

export interface AckFrame {
  type: "ack";
  id: string;
  message_id: string;
  turn_id: string;
  duplicate: boolean;
}

export interface StatusFrame {
  type: "status";
  turn_id: string;
  seq: number;
  stage: "retrieving" | "generating";
}

export interface TokenFrame {
  type: "token";
  turn_id: string;
  seq: number;
  /** Where the reader is slow, one frame stands for the events `first_seq` to `seq`. */
  first_seq?: number | null;
  text: string;
}

/** The events up to `seq` are kept no longer; `text` is the whole answer in their place. */
export interface GapFrame {
  type: "gap";
  turn_id: string;
  seq: number;
  text: string;
}

export interface CitationsFrame {
  type: "citations";
  turn_id: string;
  seq: number;
  citations: Citation[];
}

export interface DoneFrame {
  type: "done";
  turn_id: string;
  seq: number;
  message_id: string;
  state: "completed" | "stopped";
  model: string;
  usage: Usage;
}

export interface ErrorFrame {
  type: "error";
  code: string;
  message: string;
  request_id: string;
  id: string | null;
  turn_id: string | null;
  seq: number | null;
  retry_after: number | null;
}

export interface PongFrame {
  type: "pong";
  nonce: string;
}

export type TurnFrame = StatusFrame | TokenFrame | GapFrame | CitationsFrame | DoneFrame;
export type ServerFrame = ReadyFrame | AckFrame | TurnFrame | ErrorFrame | PongFrame;

type Fields = { [T in ServerFrame["type"]]: readonly Exclude<keyof Extract<ServerFrame, { type: T }>, "type">[] };

/** The fields of each server frame; a test holds them against the published schema. */
export const SERVER_FIELDS: Fields = {
  ready: ["session_id", "chatbot_id", "chatbot_name", "greeting", "active_turn"],
  ack: ["id", "message_id", "turn_id", "duplicate"],
  status: ["turn_id", "seq", "stage"],
  token: ["turn_id", "seq", "first_seq", "text"],
  gap: ["turn_id", "seq", "text"],
  citations: ["turn_id", "seq", "citations"],
  done: ["turn_id", "seq", "message_id", "state", "model", "usage"],
  error: ["code", "message", "request_id", "id", "turn_id", "seq", "retry_after"],
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
  return { type: "error", code: "refused", message, request_id: "", id, turn_id: null, seq: null, retry_after: null };
}
