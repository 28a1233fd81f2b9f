/** Joins the stored history and the live socket of one session. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useReducer, useRef, useState } from "react";

import { socketUrl } from "../api/client";
import { newId } from "../api/identifiers";
import { showError, useServices } from "../api/services";
import type { Feedback } from "../api/types";
import { ChatClient } from "../protocol/client";
import type { QuestionFrame } from "../protocol/frames";
import type { Connection } from "../protocol/ports";
import { EMPTY, answering, reduce, unfinished } from "./conversation";
import type { ChatFrame } from "./conversation";

/** Frames that arrive within this time become one rendering; a reader cannot tell, a slow machine can. */
const BATCH_MS = 30;
const POLL_MS = 4_000;

export interface FirstQuestion {
  id: string;
  text: string;
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
    // An answer that nobody streams to us (its beginning was announced while we were away) still has to appear.
    refetchInterval: (query) =>
      connection === "online" && !answering(state) && unfinished(query.state.data ?? []) ? POLL_MS : false,
  });
  const { data, dataUpdatedAt } = history;
  useEffect(() => {
    if (data) dispatch({ type: "history", messages: data });
  }, [data, dataUpdatedAt]);

  const reload = useCallback(
    () => queries.refetchQueries({ queryKey: ["messages", session] }, { throwOnError: true }),
    [queries, session],
  );
  const { wanted } = state;
  useEffect(() => {
    // What cannot be fetched is shown by the query itself.
    if (wanted > 0) void reload().catch(() => undefined);
  }, [reload, wanted]);

  useEffect(() => {
    let queue: ChatFrame[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      timer = undefined;
      const frames = queue;
      queue = [];
      dispatch({ type: "frames", frames });
    };
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
        // The server names a conversation after its first question, and knows whether it is closed.
        if (frame.type === "ack" || frame.type === "done" || (frame.type === "error" && frame.code === "session_closed")) {
          void queries.invalidateQueries({ queryKey: ["sessions", bot] });
        }
        if (frame.type === "error" && !frame.id && !frame.turn_id) showError("Something went wrong", frame.message);
      },
    });
    client.current = chat;
    if (firstQuestion.current) {
      const { id, text } = firstQuestion.current;
      const question: QuestionFrame = { type: "message", id, text };
      dispatch({ type: "ask", question });
      chat.ask(question);
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
  }, [auth, bot, queries, reload, session]);

  /** Asks, or asks again under the same id, which never makes a second turn. */
  const ask = useCallback((question: QuestionFrame) => {
    firstQuestion.current = null;
    dispatch({ type: "ask", question });
    client.current?.ask(question);
  }, []);
  const send = useCallback(
    (text: string) => {
      ask({ type: "message", id: newId(), text });
    },
    [ask],
  );
  const edit = useCallback(
    (messageId: string, text: string) => {
      ask({ type: "message", id: newId(), text, edits: messageId });
    },
    [ask],
  );
  const regenerate = useCallback(
    (turnId: string) => {
      ask({ type: "regenerate", id: newId(), turn_id: turnId });
    },
    [ask],
  );
  const discard = useCallback((id: string) => {
    dispatch({ type: "discard", id });
  }, []);
  /** Shows the branch of another version of a question or an answer; new questions continue it. */
  const choose = useCallback(
    async (turnId: string) => {
      try {
        await api.changeSession(bot, session, { head_turn_id: turnId });
        await reload();
      } catch (reason) {
        showError("The other version could not be shown", reason);
      }
    },
    [api, bot, reload, session],
  );
  const rate = useCallback(
    async (messageId: string, feedback: Feedback | null) => {
      try {
        if (feedback) await api.saveFeedback(bot, session, messageId, feedback);
        else await api.deleteFeedback(bot, session, messageId);
        dispatch({ type: "rated", messageId, feedback });
      } catch (reason) {
        showError("The rating was not saved", reason);
      }
    },
    [api, bot, session],
  );
  const stop = useCallback(() => client.current?.stop(), []);
  const wake = useCallback(() => client.current?.wake(), []);

  return { state, connection, history, send, ask, edit, regenerate, discard, choose, rate, stop, wake };
}
