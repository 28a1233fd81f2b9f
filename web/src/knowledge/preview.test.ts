import { describe, expect, it } from "vitest";

import type { ChunkPreview, DocumentText, KnowledgeDocument, PreviewedChunk } from "../api/types";
import { bars, details, recognised, matching, pagesOf, parts } from "./preview";

const DOCUMENT: KnowledgeDocument = {
  id: "d",
  name: "Price list.pdf",
  media_type: "application/pdf",
  size: 2_048,
  status: "ready",
  reason: null,
  pages: 1,
  chunks: 12,
  metadata: { team: "Sales", year: 2026 },
  language: "de",
  source: "https://shop.example/prices",
  notice: null,
  recognised_pages: null,
  recognition_confidence: null,
  stale: false,
  created_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
};

describe("chunks of a preview", () => {
  const chunk: PreviewedChunk = {
    ordinal: 1,
    start: 3,
    end: 9,
    tokens: 4,
    overlap: 2,
    page: null,
    section: null,
    text: "🦓🦓 new",
  };

  it("show what is repeated, by the server's characters", () => {
    expect(parts(chunk)).toEqual({ repeated: "🦓🦓", fresh: " new" });
    expect(parts({ ...chunk, overlap: 0 })).toEqual({ repeated: "", fresh: "🦓🦓 new" });
  });

  it("are spread over bars, the largest of them full", () => {
    const histogram = [
      { low: 1, high: 25, chunks: 1 },
      { low: 26, high: 50, chunks: 4 },
    ];
    expect(bars({ histogram } as ChunkPreview)).toEqual([
      { label: "1–25 tokens", chunks: 1, share: 0.25 },
      { label: "26–50 tokens", chunks: 4, share: 1 },
    ]);
    expect(bars({ histogram: [{ low: 1, high: 2, chunks: 0 }] } as ChunkPreview)[0]?.share).toBe(0);
  });
});

describe("the text of a document", () => {
  const piece: DocumentText = {
    document_id: "d",
    document_name: "a.pdf",
    start: 100,
    end: 114,
    total: 200,
    pages: 3,
    language: null,
    text: "🦓 one\n\ntwo\n\n3",
    blocks: [
      { start: 100, end: 105, page: 1, section: null },
      { start: 107, end: 110, page: 2, section: null },
      { start: 112, end: 113, page: 2, section: null },
    ],
  };

  it("is divided by pages", () => {
    expect(pagesOf(piece)).toEqual([
      { page: 1, text: "🦓 one" },
      { page: 2, text: "two\n\n3" },
    ]);
  });

  it("without pages is one piece", () => {
    const blocks = piece.blocks.map((block) => ({ ...block, page: null }));
    expect(pagesOf({ ...piece, blocks })).toEqual([{ page: null, text: piece.text }]);
    expect(pagesOf({ ...piece, text: "", blocks: [] })).toEqual([]);
  });
});

describe("a document in the list", () => {
  it("says its size, pages, passages and language", () => {
    expect(details(DOCUMENT)).toMatch(/^2 KB · 1 page · 12 passages · .+/);
    expect(details({ ...DOCUMENT, pages: null, chunks: null, language: null })).toBe("2 KB");
  });

  it("says what was read off pictures, and never more than there is", () => {
    expect(recognised(1, 0.9876)).toBe("Text of 1 scanned page recognised, 98 % sure.");
    expect(recognised(1200, 0.5)).toBe("Text of 1,200 scanned pages recognised, 50 % sure.");
  });

  it("is found by its name, source and metadata", () => {
    for (const wanted of ["", "price", "LIST price", "shop.example", "sales 2026"]) {
      expect(matching([DOCUMENT], wanted)).toEqual([DOCUMENT]);
    }
    expect(matching([DOCUMENT], "price nothing")).toEqual([]);
  });
});
