/** Numbers and times as people read them. */

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

export function ago(iso: string, now = Date.now()): string {
  const seconds = (Date.parse(iso) - now) / 1_000;
  if (Number.isNaN(seconds)) return "";
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return "just now";
}

export function fileSize(bytes: number): string {
  if (bytes < 1_024) return `${String(bytes)} B`;
  if (bytes < 1_048_576) return `${String(Math.round(bytes / 1_024))} KB`;
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}

/** Where in a document something stands: `page 3`, a section's name, both, or nothing. */
export function place(at: { page: number | null; section: string | null }): string {
  return [at.page === null ? "" : `page ${String(at.page)}`, path(at.section)].filter(Boolean).join(" · ");
}

/** The headings above a place, outermost first. */
export function path(section: string | null): string {
  return (section ?? "").split(" > ").join(" › ");
}

const LANGUAGES = new Intl.DisplayNames(undefined, { type: "language", fallback: "code" });

/** A language's name in the reader's own; its code where it has none. */
export function languageName(code: string): string {
  try {
    return LANGUAGES.of(code) ?? code;
  } catch {
    return code;
  }
}
