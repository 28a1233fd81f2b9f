/** How long to wait before connecting again, and what a close code asks for. */

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/** Exponential with jitter: between half and all of `500 ms × 2^attempt`, at most 15 s, so that clients spread out. */
export function backoffMs(attempt: number, random: () => number): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(ceiling * (0.5 + random() / 2));
}

const RETRY_AFTER = /^retry_after=(\d+(?:\.\d+)?)$/;
const LONGEST_RETRY_MS = 300_000;

/** What the reason of a close asks for as the least wait, in ms; 0 when it asks for nothing. At most five minutes. */
export function retryAfterMs(reason: string): number {
  const seconds = RETRY_AFTER.exec(reason)?.[1];
  return seconds === undefined ? 0 : Math.min(LONGEST_RETRY_MS, Number(seconds) * 1_000);
}

export type CloseAction = "reconnect" | "refresh" | "gone" | "refused";

/** `refused` means that something we sent was not accepted: sending it again would only be refused again. */
export function closeAction(code: number): CloseAction {
  switch (code) {
    case 4401:
      return "refresh";
    case 4403:
    case 4404:
      return "gone";
    case 1002:
    case 1003:
    case 1007:
    case 1008:
    case 1009:
    case 4400:
      return "refused";
    default:
      return "reconnect";
  }
}
