/** The messages of a conversation: stored, on their way, and being written. */
import { Button, Group, Loader, Text } from "@mantine/core";
import { memo } from "react";

import type { Message } from "../api/types";
import type { Citation } from "../protocol/frames";
import { Answer } from "./Answer";
import { Citations } from "./Citations";
import type { Conversation, Live, Outgoing } from "./conversation";

const STAGES = {
  waiting: "One moment",
  retrieving: "Looking through the documents",
  generating: "Writing",
} as const;

const NOTES: Partial<Record<Message["state"], string>> = {
  stopped: "Stopped",
  interrupted: "The answer was interrupted.",
  failed: "The answer could not be finished.",
};

type OnCitation = (citation: Citation) => void;
type OnRetry = (text: string, outgoing: string | null) => void;

interface Props {
  state: Conversation;
  onCitation: OnCitation;
  onRetry: OnRetry;
}

export function MessageList({ state, onCitation, onRetry }: Props) {
  const { history, outgoing, live } = state;
  const lastQuestion = history.findLast((message) => message.role === "user");
  const last = history.at(-1);
  // A question whose turn ended without an answer offers itself again.
  const unanswered =
    !live && outgoing.length === 0 && last && (last.state === "failed" || last.state === "interrupted") ? last : null;

  return (
    <div role="log" aria-live="polite" aria-busy={live !== null && live.failure === null} className="messages">
      {history.map((message) =>
        message.role === "user" ? (
          <Question key={message.id} text={message.content} />
        ) : (
          <StoredAnswer key={message.id} message={message} onCitation={onCitation} />
        ),
      )}
      {outgoing.map((item) => (
        <OutgoingQuestion key={item.id} item={item} onRetry={onRetry} />
      ))}
      {live && (
        <LiveAnswer
          live={live}
          onCitation={onCitation}
          onRetry={() => {
            if (lastQuestion) onRetry(lastQuestion.content, null);
          }}
        />
      )}
      {unanswered && lastQuestion && (
        <Failure
          message={NOTES[unanswered.state] ?? ""}
          onRetry={() => {
            onRetry(lastQuestion.content, null);
          }}
        />
      )}
    </div>
  );
}

const Question = memo(function Question({ text }: { text: string }) {
  return (
    <div className="question" data-testid="message-user">
      {text}
    </div>
  );
});

function OutgoingQuestion({ item, onRetry }: { item: Outgoing; onRetry: OnRetry }) {
  return (
    <>
      <div className="question" data-testid="message-user" data-status={item.status}>
        {item.text}
      </div>
      {item.status === "sending" && (
        <Text size="xs" c="dimmed" ta="end">
          Sending
        </Text>
      )}
      {item.status === "failed" && (
        <Failure
          message={item.error ?? "The message was not sent."}
          onRetry={() => {
            onRetry(item.text, item.id);
          }}
        />
      )}
    </>
  );
}

const StoredAnswer = memo(function StoredAnswer({ message, onCitation }: { message: Message; onCitation: OnCitation }) {
  const { usage } = message;
  const note = message.state === "stopped" ? NOTES.stopped : undefined;
  return (
    <article className="answer" aria-label="Answer" data-testid="message-assistant" data-state={message.state}>
      <Answer text={message.content} />
      <Citations citations={message.citations} onChoose={onCitation} />
      {(usage ?? note) && (
        <Text size="xs" c="dimmed" mt={8} data-testid="usage">
          {[note, usage ? `${usage.total_tokens.toLocaleString()} tokens` : undefined].filter(Boolean).join(" · ")}
        </Text>
      )}
    </article>
  );
});

function LiveAnswer({ live, onCitation, onRetry }: { live: Live; onCitation: OnCitation; onRetry: () => void }) {
  const writing = live.failure === null && !live.detached;
  return (
    <article className="answer" aria-label="Answer" data-testid="message-assistant" data-state={writing ? "streaming" : "failed"}>
      {live.text && <Answer text={live.text} writing={writing} />}
      {writing && !live.text && (
        <Group gap="sm" data-testid="stage">
          <Loader size={18} type="dots" aria-hidden />
          <Text size="sm" c="dimmed">
            {STAGES[live.stage]}
          </Text>
        </Group>
      )}
      <Citations citations={live.citations} onChoose={onCitation} />
      {live.failure !== null && <Failure message={live.failure} onRetry={onRetry} />}
    </article>
  );
}

function Failure({ message, onRetry }: { message: string; onRetry: () => void }) {
  return (
    <Group gap="sm" role="alert" data-testid="failure">
      <Text size="sm" c="red">
        {message}
      </Text>
      <Button size="compact-sm" variant="light" color="red" onClick={onRetry}>
        Try again
      </Button>
    </Group>
  );
}
