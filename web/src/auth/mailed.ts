/** The link of a mail, as `#/invite/secret`: the fragment is sent to no server, so no log has the secret. */
import { useSyncExternalStore } from "react";

const LINK = /^#\/(invite|reset|verify)\/([A-Za-z0-9_-]{20,200})$/;

export interface Mailed {
  form: "invite" | "reset" | "verify";
  token: string;
}

export function parseMailed(hash: string): Mailed | null {
  const found = LINK.exec(hash);
  if (!found?.[1] || !found[2]) return null;
  return { form: found[1] as Mailed["form"], token: found[2] };
}

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => {
    removeEventListener("hashchange", listener);
  };
}

export function useMailedLink(): Mailed | null {
  return parseMailed(useSyncExternalStore(subscribe, () => location.hash));
}

/** Goes to the start, and leaves the used link in no history. */
export function leaveMailed(): void {
  location.replace("#/");
}
