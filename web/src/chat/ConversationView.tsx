/** One session: its messages, the answer being written, and the place to ask. */
import { Alert, Button, Group, Loader } from "@mantine/core";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import { ApiError, sentence } from "../api/errors";
import { useServices } from "../api/services";
import { useSessionList } from "../api/sessions";
import type { Chatbot } from "../api/types";
import { goTo } from "../layout/route";
import { LinkHosts } from "./Answer";
import { ChatHeader } from "./ChatHeader";
import { ClosedNotice, Composer } from "./Composer";
import { MessageList } from "./MessageList";
import { PassageDrawer } from "./PassageDrawer";
import { TraceDrawer } from "./TraceDrawer";
import { Welcome } from "./Welcome";
import type { MessageActions } from "./actions";
import type { Sources } from "./reading";
import { answering } from "./conversation";
import { useConversation } from "./useConversation";
import type { FirstQuestion } from "./useConversation";

const NEAR_END_PX = 90;

interface Props {
  bot: Chatbot;
  session: string;
  first: FirstQuestion | null;
  onMenu: () => void;
  onSettings: () => void;
}

export function ConversationView({ bot, session, first, onMenu, onSettings }: Props) {
  const { auth } = useServices();
  const { state, connection, history, send, ask, edit, regenerate, discard, choose, rate, stop, wake } = useConversation(
    bot.id,
    session,
    first,
  );
  const listed = useSessionList(bot.id).sessions.find((item) => item.id === session);
  const [sources, setSources] = useState<Sources | null>(null);
  const [reading, setReading] = useState(false);
  const [explained, setExplained] = useState<string | null>(null);
  const [explaining, setExplaining] = useState(false);
  const scroller = useRef<HTMLDivElement>(null);
  const column = useRef<HTMLDivElement>(null);
  const followed = useRef(true);
  const [away, setAway] = useState(false);
  const writing = answering(state);
  const closed = listed ? listed.closed_at !== null : state.closed;
  const gone = connection === "gone" || (history.error instanceof ApiError && history.error.status === 404);

  useEffect(() => {
    if (connection === "signed-out") void auth.logout();
  }, [auth, connection]);

  const toEnd = () => {
    followed.current = true;
    scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
  };
  // Follow the answer while the reader is at its end; leave them alone when they scrolled back.
  useEffect(() => {
    if (followed.current) scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
  }, [state]);
  const onScroll = useCallback(() => {
    const box = scroller.current;
    if (!box) return;
    followed.current = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX;
    setAway(!followed.current);
  }, []);
  // A shorter version may put the end into sight without any scrolling.
  useEffect(() => {
    if (!column.current) return undefined;
    const observer = new ResizeObserver(() => {
      if (!followed.current) onScroll();
    });
    observer.observe(column.current);
    return () => {
      observer.disconnect();
    };
  }, [onScroll]);
  const actions = useMemo((): MessageActions => {
    const following =
      <A extends unknown[]>(act: (...args: A) => void) =>
      (...args: A) => {
        followed.current = true;
        act(...args);
      };
    return {
      openSource: (chosen) => {
        setSources(chosen);
        setReading(true);
      },
      explain: (message) => {
        setExplained(message);
        setExplaining(true);
      },
      edit: following(edit),
      regenerate: following(regenerate),
      repeat: following(ask),
      discard,
      choose,
      rate,
    };
  }, [ask, choose, discard, edit, rate, regenerate]);
  const startNew = () => {
    goTo(bot.id);
  };

  return (
    <section className="chat" aria-label={`Chat with ${bot.name}`}>
      <ChatHeader bot={bot} connection={connection} onMenu={onMenu} onSettings={onSettings} onReconnect={wake} />
      <div className="chat-scroll" ref={scroller} onScroll={onScroll} tabIndex={0} aria-label="Messages" role="region">
        <div className="chat-column" ref={column}>
          <Welcome greeting={state.greeting ?? bot.config.greeting} />
          {history.isPending && state.outgoing.length === 0 && <Loader size="sm" aria-label="Loading messages" />}
          {history.isError && !gone && (
            <Alert color="red" role="alert" title="The earlier messages could not be loaded">
              <Group justify="space-between">
                {sentence(history.error)}
                <Button size="xs" variant="light" color="red" onClick={() => void history.refetch()}>
                  Try again
                </Button>
              </Group>
            </Alert>
          )}
          <LinkHosts value={bot.config.guardrails.allowed_link_hosts}>
            <MessageList state={state} closed={closed || gone} actions={actions} />
          </LinkHosts>
          {gone && (
            <Alert color="gray" title="This conversation is no longer there">
              <Button size="xs" variant="light" onClick={startNew}>
                Start a new one
              </Button>
            </Alert>
          )}
        </div>
      </div>
      {away && (
        <Button className="to-end" size="xs" variant="default" radius="xl" onClick={toEnd}>
          Jump to the latest
        </Button>
      )}
      {!gone && closed && !writing && <ClosedNotice onNew={startNew} />}
      {!gone && !(closed && !writing) && (
        <Composer
          busy={false}
          answering={writing}
          error={null}
          onSend={(text) => {
            followed.current = true;
            send(text);
          }}
          onStop={stop}
        />
      )}
      <PassageDrawer
        bot={bot.id}
        session={session}
        sources={sources}
        opened={reading}
        onChoose={setSources}
        onClose={() => {
          setReading(false);
        }}
      />
      <TraceDrawer
        bot={bot.id}
        session={session}
        message={explained}
        opened={explaining}
        onClose={() => {
          setExplaining(false);
        }}
      />
    </section>
  );
}
