/** What a conversation shows, as a pure function of stored messages, questions on their way, and frames. */
import type { Message, TurnState } from "../api/types";
import type { AckFrame, Citation, ErrorFrame, ReadyFrame, TurnFrame } from "../protocol/frames";

export interface Outgoing {
  id: string;
  text: string;
  status: "sending" | "sent" | "failed";
  error: string | null;
  messageId: string | null;
  turnId: string | null;
}

export interface Live {
  turnId: string;
  stage: "waiting" | "retrieving" | "generating";
  text: string;
  citations: Citation[];
  failure: string | null;
  /** The server no longer works on it; the next load of the history replaces it. */
  detached: boolean;
}

export interface Conversation {
  loaded: boolean;
  history: Message[];
  outgoing: Outgoing[];
  live: Live | null;
  greeting: string | null;
}

export type ChatFrame = ReadyFrame | AckFrame | TurnFrame | ErrorFrame;

export type Action =
  | { type: "history"; messages: Message[] }
  | { type: "send"; id: string; text: string }
  | { type: "discard"; id: string }
  | { type: "frames"; frames: ChatFrame[] };

export const EMPTY: Conversation = { loaded: false, history: [], outgoing: [], live: null, greeting: null };

export function ended(state: TurnState): boolean {
  return state !== "accepted" && state !== "running";
}

export function answering(state: Conversation): boolean {
  return state.live !== null && state.live.failure === null && !state.live.detached;
}

export function reduce(state: Conversation, action: Action): Conversation {
  switch (action.type) {
    case "history":
      return withHistory(state, action.messages);
    case "send": {
      if (state.outgoing.some((item) => item.id === action.id)) return state;
      const { id, text } = action;
      const item: Outgoing = { id, text, status: "sending", error: null, messageId: null, turnId: null };
      // A failed answer stays in the history as the question's state; its live form makes room for the next one.
      const settled = state.live?.failure ? withoutLive(state) : state;
      return { ...settled, outgoing: [...settled.outgoing, item] };
    }
    case "discard":
      return { ...state, outgoing: state.outgoing.filter((item) => item.id !== action.id) };
    case "frames":
      return action.frames.reduce(withFrame, state);
  }
}

function withHistory(state: Conversation, messages: Message[]): Conversation {
  const stored = new Set(messages.map((message) => message.id));
  const outgoing = state.outgoing.filter((item) => !(item.messageId && stored.has(item.messageId)));
  const { live } = state;
  const over =
    live !== null && (live.detached || messages.some((m) => m.turn_id === live.turnId && ended(m.state)));
  return { ...state, loaded: true, history: messages, outgoing, live: over ? null : live };
}

function withFrame(state: Conversation, frame: ChatFrame): Conversation {
  switch (frame.type) {
    case "ready":
      return withReady(state, frame);
    case "ack":
      return withAck(state, frame);
    case "status":
      return { ...state, live: { ...liveOf(state, frame.turn_id), stage: frame.stage } };
    case "token": {
      const live = liveOf(state, frame.turn_id);
      return { ...state, live: { ...live, stage: "generating", text: live.text + frame.text } };
    }
    case "gap":
      return { ...state, live: { ...liveOf(state, frame.turn_id), stage: "generating", text: frame.text } };
    case "citations":
      return { ...state, live: { ...liveOf(state, frame.turn_id), citations: frame.citations } };
    case "done": {
      const live = liveOf(state, frame.turn_id);
      const settled = settle(state, frame.turn_id, frame.state);
      if (settled.history.some((message) => message.id === frame.message_id)) return { ...settled, live: null };
      const answer: Message = {
        id: frame.message_id,
        turn_id: frame.turn_id,
        role: "assistant",
        content: live.text,
        state: frame.state,
        citations: live.citations,
        usage: frame.usage,
        created_at: new Date().toISOString(),
      };
      return { ...settled, history: [...settled.history, answer], live: null };
    }
    case "error":
      return withError(state, frame);
  }
}

function withReady(state: Conversation, frame: ReadyFrame): Conversation {
  const active = frame.active_turn?.turn_id;
  let { live } = state;
  if (active && live?.turnId !== active) live = newLive(active);
  else if (!active && live && live.failure === null) live = { ...live, detached: true };
  return { ...state, greeting: frame.greeting, live };
}

function withAck(state: Conversation, frame: AckFrame): Conversation {
  const known = state.history.some((message) => message.id === frame.message_id);
  const outgoing = state.outgoing.flatMap((item): Outgoing[] => {
    if (item.id !== frame.id) return [item];
    return known ? [] : [{ ...item, status: "sent", messageId: frame.message_id, turnId: frame.turn_id }];
  });
  const over = state.history.some((message) => message.turn_id === frame.turn_id && ended(message.state));
  const live = over || state.live?.turnId === frame.turn_id ? state.live : newLive(frame.turn_id);
  return { ...state, outgoing, live };
}

function withError(state: Conversation, frame: ErrorFrame): Conversation {
  if (frame.turn_id && state.live?.turnId === frame.turn_id) {
    const settled = settle(state, frame.turn_id, "failed");
    return { ...settled, live: { ...state.live, failure: frame.message } };
  }
  if (!frame.id) return state;
  const outgoing = state.outgoing.map((item): Outgoing =>
    item.id === frame.id ? { ...item, status: "failed", error: frame.message } : item,
  );
  return { ...state, outgoing };
}

/** The question of an ended turn moves into the history, with the turn's state. */
function settle(state: Conversation, turnId: string, turnState: TurnState): Conversation {
  const moved = state.outgoing.filter((item) => item.turnId === turnId);
  const questions = moved.map((item): Message => ({
    id: item.messageId ?? item.id,
    turn_id: turnId,
    role: "user",
    content: item.text,
    state: turnState,
    citations: [],
    usage: null,
    created_at: new Date().toISOString(),
  }));
  const history = state.history.map((m) => (m.turn_id === turnId ? { ...m, state: turnState } : m));
  return {
    ...state,
    history: [...history, ...questions],
    outgoing: state.outgoing.filter((item) => item.turnId !== turnId),
  };
}

function withoutLive(state: Conversation): Conversation {
  return { ...state, live: null };
}

function newLive(turnId: string): Live {
  return { turnId, stage: "waiting", text: "", citations: [], failure: null, detached: false };
}

function liveOf(state: Conversation, turnId: string): Live {
  return state.live?.turnId === turnId ? { ...state.live, detached: false } : newLive(turnId);
}
