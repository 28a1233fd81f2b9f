/** A passage with as much of its document around it as was read so far, and the sources that lead to passages. */
import type { DocumentText, Passage } from "../api/types";
import type { Citation } from "../protocol/frames";

/** Characters that are read at once. */
export const STEP = 4_000;

/** The sources of one answer, and which of them is open. */
export interface Sources {
  citations: Citation[];
  index: number;
  /** The answer's id; null while it is being written. */
  message: string | null;
}

export interface Reading {
  before: string;
  text: string;
  after: string;
  /** Where `before` begins and `after` ends, in the server's characters. */
  from: number;
  to: number;
  total: number;
}

export interface Piece {
  start: number;
  limit: number;
}

/** Code points, as the server counts them: an emoji is one, where JavaScript's own length says two. */
export function characters(text: string): number {
  return Array.from(text).length;
}

export function opened(passage: Passage): Reading {
  const { before, text, after, start, end, total } = passage;
  return { before, text, after, from: start - characters(before), to: end + characters(after), total };
}

/** What comes before all that was read; null at the document's beginning. */
export function earlier({ from }: Reading): Piece | null {
  const start = Math.max(0, from - STEP);
  return from > 0 ? { start, limit: from - start } : null;
}

/** What comes after all that was read; null at the document's end. */
export function later({ to, total }: Reading): Piece | null {
  return to < total ? { start: to, limit: Math.min(STEP, total - to) } : null;
}

/** The reading with a piece that joins it on either side; a piece from elsewhere changes nothing. */
export function extended(reading: Reading, piece: DocumentText): Reading {
  if (piece.end === reading.from) return { ...reading, before: piece.text + reading.before, from: piece.start };
  if (piece.start === reading.to) return { ...reading, after: reading.after + piece.text, to: piece.end };
  return reading;
}

/** The sources after a step to the next (1) or the previous one (-1); the same ones at the ends. */
export function stepped(sources: Sources, by: 1 | -1): Sources {
  const index = sources.index + by;
  return index >= 0 && index < sources.citations.length ? { ...sources, index } : sources;
}
