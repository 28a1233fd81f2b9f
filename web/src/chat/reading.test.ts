import { describe, expect, it } from "vitest";

import type { DocumentText, Passage } from "../api/types";
import { STEP, characters, earlier, extended, later, opened, stepped } from "./reading";

const TEXT = "🦓 ".repeat(6_000);
const POINTS = Array.from(TEXT);

function cut(start: number, end: number): string {
  return POINTS.slice(start, end).join("");
}

function passage(start: number, end: number, around: number): Passage {
  return {
    document_id: "d",
    document_name: "zebras.txt",
    start,
    end,
    total: POINTS.length,
    before: cut(Math.max(0, start - around), start),
    text: cut(start, end),
    after: cut(end, end + around),
    page: null,
    section: null,
  };
}

function piece(start: number, end: number): DocumentText {
  return {
    document_id: "d",
    document_name: "zebras.txt",
    start,
    end,
    total: POINTS.length,
    pages: null,
    language: null,
    text: cut(start, end),
    blocks: [],
  };
}

describe("reading around a passage", () => {
  it("counts characters as the server does", () => {
    expect(characters("a🦓東")).toBe(3);
    expect(characters("")).toBe(0);
  });

  it("joins pieces on both sides until the whole document is there, with the passage untouched", () => {
    let reading = opened(passage(5_000, 5_010, 600));
    expect([reading.from, reading.to]).toEqual([4_400, 5_610]);
    for (let rounds = 0; rounds < 10; rounds += 1) {
      const wanted = earlier(reading) ?? later(reading);
      if (!wanted) break;
      expect(wanted.limit).toBeLessThanOrEqual(STEP);
      reading = extended(reading, piece(wanted.start, wanted.start + wanted.limit));
    }
    expect(reading.before + reading.text + reading.after).toBe(TEXT);
    expect(reading.text).toBe(cut(5_000, 5_010));
    expect([earlier(reading), later(reading)]).toEqual([null, null]);
  });

  it("ignores a piece that does not join", () => {
    const reading = opened(passage(5_000, 5_010, 600));
    expect(extended(reading, piece(0, 100))).toBe(reading);
    expect(extended(reading, piece(5_000, 5_610))).toBe(reading);
  });

  it("has nothing before the beginning and after the end", () => {
    const whole = opened(passage(0, POINTS.length, 600));
    expect([earlier(whole), later(whole)]).toEqual([null, null]);
  });
});

describe("the sources of an answer", () => {
  const citation = { document_id: "d", document_name: "a", page: 1, section: null, start: 0, end: 1, snippet: "x" };
  const sources = {
    citations: [1, 2, 3].map((position) => ({ ...citation, position })),
    index: 1,
    message: "m",
  };

  it("are gone through one by one, and stay at the ends", () => {
    expect(stepped(sources, 1).index).toBe(2);
    expect(stepped(sources, -1).index).toBe(0);
    expect(stepped(stepped(sources, 1), 1).index).toBe(2);
    expect(stepped(stepped(sources, -1), -1).index).toBe(0);
  });
});
