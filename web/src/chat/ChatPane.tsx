/** A chatbot's pane: a new conversation, or one that exists. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { newId } from "../api/identifiers";
import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import type { Chatbot } from "../api/types";
import { goTo } from "../layout/route";
import { ChatHeader } from "./ChatHeader";
import { Composer } from "./Composer";
import { ConversationView } from "./ConversationView";
import { Welcome } from "./Welcome";
import type { FirstQuestion } from "./useConversation";

interface Props {
  bot: Chatbot;
  session: string | null;
  onMenu: () => void;
  onSettings: () => void;
}

export function ChatPane({ bot, session, onMenu, onSettings }: Props) {
  const { api } = useServices();
  const queries = useQueryClient();
  const [first, setFirst] = useState<(FirstQuestion & { session: string }) | null>(null);

  // A session is made with its first question, so that looking around leaves no empty ones behind.
  const begin = useMutation({
    mutationFn: async (text: string) => ({ text, made: await api.createSession(bot.id) }),
    onSuccess: ({ text, made }) => {
      setFirst({ id: newId(), text, session: made.id });
      goTo(bot.id, made.id);
      void queries.invalidateQueries({ queryKey: ["sessions", bot.id] });
    },
  });

  if (session) {
    return (
      <ConversationView
        key={session}
        bot={bot}
        session={session}
        first={first?.session === session ? first : null}
        onMenu={onMenu}
        onSettings={onSettings}
      />
    );
  }
  return (
    <section className="chat" aria-label={`Chat with ${bot.name}`}>
      <ChatHeader bot={bot} connection={null} onMenu={onMenu} onSettings={onSettings} />
      <div className="chat-scroll">
        <div className="chat-column">
          <Welcome greeting={bot.config.greeting} />
        </div>
      </div>
      <Composer
        busy={begin.isPending}
        answering={false}
        error={begin.isError ? sentence(begin.error) : null}
        onSend={(text) => {
          begin.mutate(text);
        }}
        onStop={undefined}
      />
    </section>
  );
}
