/** How questions are written. */
import type { KeyboardEvent } from "react";

/** In characters, as the server counts them. */
export const LONGEST_QUESTION = 16_000;

/** Whether a key sends what is written. While an input method composes, Enter chooses a candidate. */
export function sends(event: KeyboardEvent): boolean {
  return event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing;
}
