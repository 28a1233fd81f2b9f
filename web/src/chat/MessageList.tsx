/** The messages of a conversation: stored, on their way, and being written. */
import { Group, Loader, Text } from "@mantine/core";

import type { Message } from "../api/types";
import { Answer } from "./Answer";
import { Citations } from "./Citations";
import { Failure } from "./Failure";
import { Question } from "./Question";
import { StoredAnswer } from "./StoredAnswer";
import type { MessageActions } from "./actions";
import { answering, shown } from "./conversation";
import type { Conversation, Live, Outgoing } from "./conversation";

const UNANSWERED: Partial<Record<Message["state"], string>> = {
  interrupted: "The answer was interrupted.",
  failed: "The answer could not be finished.",
};

interface Props {
  state: Conversation;
  closed: boolean;
  actions: MessageActions;
}

export function MessageList({ state, closed, actions }: Props) {
  const { outgoing, live } = state;
  const messages = shown(state);
  const last = messages.at(-1);
  const busy = answering(state) || outgoing.some((item) => item.status === "sending");
  const free = !live && outgoing.length === 0;
  // A question whose turn ended without an answer offers itself again.
  const unanswered = free && last?.role === "user" ? UNANSWERED[last.state] : undefined;
  const again = (turnId: string) =>
    closed
      ? undefined
      : () => {
          actions.regenerate(turnId);
        };

  return (
    <div role="log" aria-live="polite" aria-busy={answering(state)} className="messages">
      {messages.map((message, index) => {
        const common = { message, closed, actions, answering: busy };
        // By place: another version comes into the same one, and the focus stays where it is.
        return message.role === "user" ? (
          <Question key={index} {...common} withVersions={messages[index + 1]?.role !== "assistant"} />
        ) : (
          <StoredAnswer key={index} {...common} last={free && message === last} />
        );
      })}
      {outgoing.map((item) => (
        <OutgoingQuestion key={item.question.id} item={item} actions={actions} />
      ))}
      {live && <LiveAnswer live={live} actions={actions} onRetry={again(live.turnId)} />}
      {unanswered && last && <Failure message={unanswered} onRetry={again(last.turn_id)} />}
    </div>
  );
}

function OutgoingQuestion({ item, actions }: { item: Outgoing; actions: MessageActions }) {
  const { question, status } = item;
  return (
    <>
      {question.type === "message" && (
        <div className="question" data-testid="message-user" data-status={status}>
          {question.text}
        </div>
      )}
      {status === "sending" && (
        <Text size="xs" c="dimmed" ta={question.type === "message" ? "end" : "start"}>
          Sending
        </Text>
      )}
      {status === "failed" && (
        <Failure
          message={item.error ?? "The message was not sent."}
          onRetry={() => {
            actions.repeat(question);
          }}
          onDiscard={() => {
            actions.discard(question.id);
          }}
        />
      )}
    </>
  );
}

function stage(live: Live): string {
  switch (live.stage) {
    case "waiting":
      return "One moment";
    case "queued":
      return live.position === null ? "In the queue" : `In the queue, place ${String(live.position)}`;
    case "retrieving":
      return "Looking through the documents";
    case "starting":
      return "Starting the language model";
    case "generating":
      return "Writing";
  }
}

interface LiveProps {
  live: Live;
  actions: MessageActions;
  onRetry: (() => void) | undefined;
}

function LiveAnswer({ live, actions, onRetry }: LiveProps) {
  const writing = live.failure === null && !live.detached;
  return (
    <article className="answer" aria-label="Answer" data-testid="message-assistant" data-state={writing ? "streaming" : "failed"}>
      {live.text && <Answer text={live.text} writing={writing} />}
      {writing && !live.text && (
        <Group gap="sm" data-testid="stage">
          <Loader size={18} type="dots" aria-hidden />
          <Text size="sm" c="dimmed">
            {stage(live)}
          </Text>
        </Group>
      )}
      <Citations citations={live.citations} message={null} onChoose={actions.openSource} />
      {live.failure !== null && <Failure message={live.failure} onRetry={onRetry} />}
    </article>
  );
}
