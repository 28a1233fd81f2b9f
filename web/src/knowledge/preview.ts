/** What the console shows of a document and of its chunks, as pure functions of what the server says. */
import type { ChunkPreview, DocumentText, KnowledgeDocument, PreviewedChunk } from "../api/types";
import { fileSize, languageName } from "../layout/words";

/** A chunk's text: what the one before ends with, and what is new. The server counts code points. */
export function parts({ text, overlap }: PreviewedChunk): { repeated: string; fresh: string } {
  const points = Array.from(text);
  return { repeated: points.slice(0, overlap).join(""), fresh: points.slice(overlap).join("") };
}

export interface Bar {
  label: string;
  chunks: number;
  /** Of the largest bar, 0 to 1. */
  share: number;
}

export function bars({ histogram }: ChunkPreview): Bar[] {
  const most = Math.max(1, ...histogram.map((bucket) => bucket.chunks));
  return histogram.map(({ low, high, chunks }) => ({
    label: `${String(low)}–${String(high)} tokens`,
    chunks,
    share: chunks / most,
  }));
}

export interface PageOfText {
  page: number | null;
  text: string;
}

/** A piece of a document's text, divided where another page begins. */
export function pagesOf({ text, start, blocks }: DocumentText): PageOfText[] {
  const points = Array.from(text);
  const found: PageOfText[] = [];
  let from = 0;
  blocks.forEach((block, index) => {
    const next = blocks[index + 1];
    if (next && next.page === block.page) return;
    const to = next ? next.start - start : points.length;
    const part = points.slice(from, to).join("");
    // Where the piece ends, a word may go on in the next one.
    found.push({ page: block.page, text: next ? part.trimEnd() : part });
    from = to;
  });
  return found;
}

function counted(count: number, one: string, many: string): string {
  return count === 1 ? `1 ${one}` : `${count.toLocaleString()} ${many}`;
}

export function details(item: KnowledgeDocument): string {
  const found = [fileSize(item.size)];
  if (item.pages) found.push(counted(item.pages, "page", "pages"));
  if (item.chunks) found.push(counted(item.chunks, "passage", "passages"));
  if (item.language) found.push(languageName(item.language));
  return found.join(" · ");
}

/** What was read off pictures of a document's pages; `confidence` is from 0 to 1. */
export function recognised(pages: number, confidence: number): string {
  return `Text of ${counted(pages, "scanned page", "scanned pages")} recognised, ${Math.floor(confidence * 100)} % sure.`;
}

/** Documents whose name, source or metadata hold every word, in any case. */
export function matching(documents: KnowledgeDocument[], wanted: string): KnowledgeDocument[] {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  return documents.filter((item) => {
    const text = [item.name, item.source ?? "", ...Object.values(item.metadata).map(String)].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
