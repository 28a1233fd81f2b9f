/** What a conversation shows, as a pure function of stored messages, questions on their way, and frames. */
import type { Feedback, Message, TurnState } from "../api/types";
import type { AckFrame, Citation, DoneFrame, ErrorFrame, QuestionFrame, ReadyFrame, TurnFrame } from "../protocol/frames";
import { before, settled } from "./branches";

export interface Outgoing {
  question: QuestionFrame;
  status: "sending" | "sent" | "failed";
  error: string | null;
  messageId: string | null;
  turnId: string | null;
}

export interface Live {
  turnId: string;
  stage: "waiting" | "queued" | "retrieving" | "starting" | "generating";
  /** While queued: 1 is next. */
  position: number | null;
  text: string;
  citations: Citation[];
  failure: string | null;
  /** The server no longer works on it; the next load of the history replaces it. */
  detached: boolean;
}

export interface Conversation {
  loaded: boolean;
  /** The branch as it is stored, oldest first. */
  history: Message[];
  outgoing: Outgoing[];
  live: Live | null;
  greeting: string | null;
  closed: boolean;
  /** Grows whenever something happened that only the stored messages tell: then they have to be fetched again. */
  wanted: number;
}

export type ChatFrame = ReadyFrame | AckFrame | TurnFrame | ErrorFrame;

export type Action =
  | { type: "history"; messages: Message[] }
  | { type: "ask"; question: QuestionFrame }
  | { type: "discard"; id: string }
  | { type: "rated"; messageId: string; feedback: Feedback | null }
  | { type: "frames"; frames: ChatFrame[] };

export const EMPTY: Conversation = {
  loaded: false,
  history: [],
  outgoing: [],
  live: null,
  greeting: null,
  closed: false,
  wanted: 0,
};

export function ended(state: TurnState): boolean {
  return state !== "accepted" && state !== "running";
}

export function unfinished(messages: Message[]): boolean {
  const last = messages.at(-1);
  return last !== undefined && !ended(last.state);
}

export function answering(state: Conversation): boolean {
  return state.live !== null && state.live.failure === null && !state.live.detached;
}

/** The messages to show: what is being edited or answered again makes room at once. */
export function shown(state: Conversation): Message[] {
  return state.outgoing.reduce((messages, item) => before(messages, item.question), state.history);
}

export function reduce(state: Conversation, action: Action): Conversation {
  switch (action.type) {
    case "history":
      return withHistory(state, action.messages);
    case "ask": {
      const { question } = action;
      const item: Outgoing = { question, status: "sending", error: null, messageId: null, turnId: null };
      // A failed answer stays in the history as the question's state; its live form makes room for the next one.
      const live = state.live?.failure ? null : state.live;
      return { ...state, live, outgoing: [...without(state, question.id), item] };
    }
    case "discard":
      return { ...state, outgoing: without(state, action.id) };
    case "rated": {
      const { messageId, feedback } = action;
      return { ...state, history: state.history.map((m) => (m.id === messageId ? { ...m, feedback } : m)) };
    }
    case "frames":
      return action.frames.reduce(withFrame, state);
  }
}

function withHistory(state: Conversation, messages: Message[]): Conversation {
  const stored = new Set(messages.map((message) => message.turn_id));
  const outgoing = state.outgoing.filter((item) => !(item.turnId && stored.has(item.turnId)));
  const next = { ...state, loaded: true, history: messages, outgoing };
  const { live } = state;
  return live && (live.detached || isOver(next, live.turnId)) ? { ...next, live: null } : next;
}

function withFrame(state: Conversation, frame: ChatFrame): Conversation {
  switch (frame.type) {
    case "ready":
      return withReady(state, frame);
    case "ack":
      return withAck(state, frame);
    case "error":
      return withError(state, frame);
    case "done":
      return withDone(state, frame);
    default:
      // The history may have overtaken the last events of a turn.
      return isOver(state, frame.turn_id) ? state : withEvent(state, frame);
  }
}

function withEvent(state: Conversation, frame: Exclude<TurnFrame, DoneFrame>): Conversation {
  const begun = state.live?.turnId === frame.turn_id ? state : begin(state, frame.turn_id);
  const live = { ...(begun.live ?? newLive(frame.turn_id)), detached: false };
  switch (frame.type) {
    case "status":
      return { ...begun, live: { ...live, stage: frame.stage, position: frame.position } };
    case "token":
      return { ...begun, live: { ...live, stage: "generating", text: live.text + frame.text } };
    case "gap":
      return { ...begun, live: { ...live, stage: "generating", text: frame.text } };
    case "citations":
      return { ...begun, live: { ...live, citations: frame.citations } };
  }
}

function withReady(state: Conversation, frame: ReadyFrame): Conversation {
  const active = frame.active_turn?.turn_id;
  const wanted = state.wanted + (!state.loaded || unfinished(state.history) ? 1 : 0);
  const next = { ...state, greeting: frame.greeting, wanted };
  if (active && state.live?.turnId !== active && !isOver(state, active)) return begin(next, active);
  if (!active && state.live && state.live.failure === null) return { ...next, live: { ...state.live, detached: true } };
  return next;
}

function withAck(state: Conversation, frame: AckFrame): Conversation {
  const known = state.history.some((message) => message.turn_id === frame.turn_id);
  const outgoing = state.outgoing.flatMap((item): Outgoing[] => {
    if (item.question.id !== frame.id) return [item];
    return known ? [] : [{ ...item, status: "sent", error: null, messageId: frame.message_id, turnId: frame.turn_id }];
  });
  const next = { ...state, outgoing };
  return isOver(state, frame.turn_id) || state.live?.turnId === frame.turn_id ? next : begin(next, frame.turn_id);
}

function withDone(state: Conversation, frame: DoneFrame): Conversation {
  const followed = state.live?.turnId === frame.turn_id ? state.live : null;
  const live = followed ? null : state.live;
  if (state.history.some((message) => message.id === frame.message_id)) return { ...state, live };
  const next = { ...settle(state, frame.turn_id, frame.state), live };
  // Without the text there is nothing to show yet: the stored answer has it.
  if (!followed) return { ...next, wanted: next.wanted + 1 };
  const question = next.history.findLast((message) => message.turn_id === frame.turn_id);
  const answer: Message = {
    id: frame.message_id,
    turn_id: frame.turn_id,
    parent_turn_id: question?.parent_turn_id ?? null,
    versions: question?.versions ?? [frame.turn_id],
    role: "assistant",
    content: followed.text,
    state: frame.state,
    citations: followed.citations,
    usage: frame.usage,
    feedback: null,
    delivered_at: null,
    created_at: new Date().toISOString(),
    withheld: false,
  };
  return { ...next, history: [...next.history, answer] };
}

function withError(state: Conversation, frame: ErrorFrame): Conversation {
  const { turn_id: turnId } = frame;
  if (turnId) {
    const next = settle(state, turnId, "failed");
    if (state.live?.turnId === turnId) return { ...next, live: { ...state.live, failure: frame.message } };
    return { ...next, wanted: next.wanted + 1 };
  }
  const outgoing = state.outgoing.map((item): Outgoing =>
    item.question.id === frame.id ? { ...item, status: "failed", error: frame.message } : item,
  );
  return { ...state, outgoing, closed: state.closed || frame.code === "session_closed" };
}

/** A turn's answer begins to be shown. Where the turn is not one of ours, the stored messages know its question. */
function begin(state: Conversation, turnId: string): Conversation {
  return { ...state, live: newLive(turnId), wanted: state.wanted + (isKnown(state, turnId) ? 0 : 1) };
}

/** The question of an ended turn moves into the history, with the turn's state. */
function settle(state: Conversation, turnId: string, turnState: TurnState): Conversation {
  const item = state.outgoing.find((candidate) => candidate.turnId === turnId);
  const moved = item ? settled(state.history, item.question, turnId, item.messageId ?? item.question.id) : state.history;
  // Of our own plain question everything is known; the place of any other turn among the branches is not.
  const plain = item?.question.type === "message" && !item.question.edits;
  return {
    ...state,
    history: moved.map((message) => (message.turn_id === turnId ? { ...message, state: turnState } : message)),
    outgoing: state.outgoing.filter((candidate) => candidate !== item),
    wanted: state.wanted + (plain ? 0 : 1),
  };
}

function isOver(state: Conversation, turnId: string): boolean {
  return state.history.some((message) => message.turn_id === turnId && ended(message.state));
}

function isKnown(state: Conversation, turnId: string): boolean {
  return (
    state.outgoing.some((item) => item.turnId === turnId) || state.history.some((message) => message.turn_id === turnId)
  );
}

function without(state: Conversation, id: string): Outgoing[] {
  return state.outgoing.filter((item) => item.question.id !== id);
}

function newLive(turnId: string): Live {
  return { turnId, stage: "waiting", position: null, text: "", citations: [], failure: null, detached: false };
}
