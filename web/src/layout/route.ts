/** Which chatbot and session the address names, as `#/bot/session`: a reload comes back to the same place. */
import { useSyncExternalStore } from "react";

const UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
const ROUTE = new RegExp(`^#/(${UUID})(?:/(${UUID}))?$`);

export interface Route {
  bot: string | null;
  session: string | null;
}

export function parseRoute(hash: string): Route {
  const found = ROUTE.exec(hash);
  return { bot: found?.[1] ?? null, session: found?.[2] ?? null };
}

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => {
    removeEventListener("hashchange", listener);
  };
}

export function useRoute(): Route {
  return parseRoute(useSyncExternalStore(subscribe, () => location.hash));
}

export function goTo(bot: string | null, session: string | null = null): void {
  location.hash = bot ? `#/${bot}${session ? `/${session}` : ""}` : "#/";
}
