/** The conversations of a chatbot, newest first, a page at a time; and what can be changed about one. */
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";

import { showError, useServices } from "./services";
import type { ChatSession, SessionChange } from "./types";

export function useSessionList(bot: string) {
  const { api } = useServices();
  const list = useInfiniteQuery({
    queryKey: ["sessions", bot],
    queryFn: ({ pageParam }) => api.sessions(bot, pageParam),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
  });
  return { list, sessions: list.data?.pages.flatMap((page) => page.items) ?? [] };
}

export function useSessionChange(bot: string, session: ChatSession) {
  const { api } = useServices();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (change: SessionChange) => api.changeSession(bot, session.id, change),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["sessions", bot] }),
    onError: (reason) => {
      showError("The conversation was not changed", reason);
    },
  });
}

export function useSessionDeletion(bot: string, session: ChatSession, onDeleted: () => void) {
  const { api } = useServices();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => api.deleteSession(bot, session.id),
    onSuccess: () => {
      onDeleted();
      return queries.invalidateQueries({ queryKey: ["sessions", bot] });
    },
    onError: (reason) => {
      showError("The conversation was not deleted", reason);
    },
  });
}
