/** An answer that is complete, stopped or interrupted, and what can be done with it. */
import { ActionIcon, Group, Text, Tooltip } from "@mantine/core";
import { IconRefresh, IconRoute } from "@tabler/icons-react";
import { memo } from "react";

import type { Message } from "../api/types";
import { Answer } from "./Answer";
import { Citations } from "./Citations";
import { Failure } from "./Failure";
import { Rating } from "./Rating";
import { Versions } from "./Versions";
import { Withheld } from "./Withheld";
import type { MessageActions } from "./actions";

interface Props {
  message: Message;
  last: boolean;
  answering: boolean;
  closed: boolean;
  actions: MessageActions;
}

export const StoredAnswer = memo(function StoredAnswer({ message, last, answering, closed, actions }: Props) {
  const { usage, state } = message;
  const repeatable = last && !answering && !closed;
  const again = () => {
    actions.regenerate(message.turn_id);
  };
  const notes = [
    state === "stopped" ? "Stopped" : "",
    usage ? `${usage.total_tokens.toLocaleString()} tokens` : "",
  ].filter(Boolean);

  return (
    <article className="answer" aria-label="Answer" data-testid="message-assistant" data-state={state}>
      {message.withheld ? <Withheld /> : <Answer text={message.content} />}
      <Citations citations={message.citations} message={message.id} onChoose={actions.openSource} />
      {state === "interrupted" && (
        <Group mt="sm">
          <Failure message="The answer was interrupted." onRetry={repeatable ? again : undefined} />
        </Group>
      )}
      <Group gap="xs" mt={8} mih={26}>
        <Versions message={message} disabled={answering} onChoose={actions.choose} />
        {notes.length > 0 && (
          <Text size="xs" c="dimmed" data-testid="usage">
            {notes.join(" · ")}
          </Text>
        )}
        <Rating message={message} onRate={actions.rate} />
        <Tooltip label="How this answer came about">
          <ActionIcon
            variant="subtle"
            color="gray"
            c="dimmed"
            size={26}
            aria-label="How this answer came about"
            onClick={() => {
              actions.explain(message.id);
            }}
            data-testid="explain"
          >
            <IconRoute size={16} />
          </ActionIcon>
        </Tooltip>
        {repeatable && state !== "interrupted" && (
          <Tooltip label="Answer again">
            <ActionIcon
              variant="subtle"
              color="gray"
              c="dimmed"
              size={26}
              aria-label="Answer again"
              onClick={again}
              data-testid="regenerate"
            >
              <IconRefresh size={16} />
            </ActionIcon>
          </Tooltip>
        )}
      </Group>
    </article>
  );
});
