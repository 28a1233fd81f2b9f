/** Joins the stored history and the live socket of one session. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useReducer, useRef, useState } from "react";

import { socketUrl } from "../api/client";
import { newId } from "../api/identifiers";
import { showError, useServices } from "../api/services";
import type { Message } from "../api/types";
import { ChatClient } from "../protocol/client";
import type { Connection } from "../protocol/ports";
import { EMPTY, answering, ended, reduce } from "./conversation";
import type { ChatFrame } from "./conversation";

/** Frames that arrive within this time become one rendering; a reader cannot tell, a slow machine can. */
const BATCH_MS = 30;
const POLL_MS = 4_000;

export interface FirstQuestion {
  id: string;
  text: string;
}

function unfinished(messages: Message[]): boolean {
  const last = messages.at(-1);
  return last !== undefined && !ended(last.state);
}

export function useConversation(bot: string, session: string, first: FirstQuestion | null) {
  const { api, auth } = useServices();
  const queries = useQueryClient();
  const [state, dispatch] = useReducer(reduce, EMPTY);
  const [connection, setConnection] = useState<Connection>("connecting");
  const client = useRef<ChatClient | null>(null);
  const firstQuestion = useRef(first);

  const history = useQuery({
    queryKey: ["messages", session],
    queryFn: ({ signal }) => api.messages(bot, session, signal),
    // The socket keeps the conversation up to date; leaving it and coming back reads it afresh.
    staleTime: Infinity,
    gcTime: 0,
    refetchOnWindowFocus: false,
    // An answer that nobody streams to us (written for another tab) still has to appear.
    refetchInterval: (query) =>
      connection === "online" && !answering(state) && unfinished(query.state.data ?? []) ? POLL_MS : false,
  });
  const { data, dataUpdatedAt } = history;
  useEffect(() => {
    if (data) dispatch({ type: "history", messages: data });
  }, [data, dataUpdatedAt]);

  const latest = useRef(state);
  useEffect(() => {
    latest.current = state;
  }, [state]);

  useEffect(() => {
    let queue: ChatFrame[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      timer = undefined;
      const frames = queue;
      queue = [];
      dispatch({ type: "frames", frames });
    };
    const reload = () => void queries.invalidateQueries({ queryKey: ["messages", session] });
    const tokens = {
      token: () => auth.token(),
      refresh: (stale: string) => auth.refresh(stale),
      signedIn: () => auth.snapshot().status !== "out",
    };
    const chat = new ChatClient(socketUrl(bot, session), tokens, {
      connection: setConnection,
      reload,
      frame: (frame) => {
        queue.push(frame);
        timer ??= setTimeout(flush, BATCH_MS);
        const { loaded, history: known } = latest.current;
        if (frame.type === "ready" && (!loaded || unfinished(known))) reload();
        // The server names a conversation after its first question.
        if (frame.type === "ack" || frame.type === "done") {
          void queries.invalidateQueries({ queryKey: ["sessions", bot] });
        }
        if (frame.type === "error" && !frame.id && !frame.turn_id) showError("Something went wrong", frame.message);
      },
    });
    client.current = chat;
    const question = firstQuestion.current;
    if (question) {
      dispatch({ type: "send", ...question });
      chat.send(question.id, question.text);
    }
    chat.start();

    const wake = () => {
      if (document.visibilityState === "visible") chat.wake();
    };
    addEventListener("online", wake);
    addEventListener("offline", wake);
    document.addEventListener("visibilitychange", wake);
    return () => {
      removeEventListener("online", wake);
      removeEventListener("offline", wake);
      document.removeEventListener("visibilitychange", wake);
      clearTimeout(timer);
      chat.close();
      client.current = null;
    };
  }, [auth, bot, queries, session]);

  const send = useCallback((text: string) => {
    const id = newId();
    firstQuestion.current = null;
    dispatch({ type: "send", id, text });
    client.current?.send(id, text);
  }, []);
  const discard = useCallback((id: string) => {
    dispatch({ type: "discard", id });
  }, []);
  const stop = useCallback(() => client.current?.stop(), []);
  const wake = useCallback(() => client.current?.wake(), []);

  return { state, connection, history, send, discard, stop, wake };
}
