/** A stored question, which can be asked differently in its place. */
import { ActionIcon, Button, Group, Textarea, Tooltip } from "@mantine/core";
import { IconPencil } from "@tabler/icons-react";
import { memo, useRef, useState } from "react";
import type { KeyboardEvent } from "react";

import type { Message } from "../api/types";
import { Versions } from "./Versions";
import { Withheld } from "./Withheld";
import type { MessageActions } from "./actions";
import { LONGEST_QUESTION, sends } from "./writing";

interface Props {
  message: Message;
  /** Shown here when there is no answer to show them at. */
  withVersions: boolean;
  answering: boolean;
  closed: boolean;
  actions: MessageActions;
}

export const Question = memo(function Question({ message, withVersions, answering, closed, actions }: Props) {
  // By id: choosing another version puts another message into this place.
  const [editing, setEditing] = useState<string | null>(null);
  const pencil = useRef<HTMLButtonElement>(null);
  const editable = !answering && !closed && !message.withheld;

  if (editable && editing === message.id) {
    return (
      <QuestionEditor
        text={message.content}
        onSend={(text) => {
          setEditing(null);
          actions.edit(message.id, text);
        }}
        onCancel={() => {
          setEditing(null);
          // The button is there again after this rendering.
          setTimeout(() => pencil.current?.focus());
        }}
      />
    );
  }
  return (
    <div className="question-row">
      <div className="question" data-testid="message-user">
        {message.withheld ? <Withheld /> : message.content}
      </div>
      <Group gap={2} wrap="nowrap">
        {withVersions && <Versions message={message} disabled={answering} onChoose={actions.choose} />}
        {editable && (
          <Tooltip label="Edit the question">
            <ActionIcon
              ref={pencil}
              className="quiet"
              variant="subtle"
              color="gray"
              c="dimmed"
              size={26}
              aria-label="Edit the question"
              onClick={() => {
                setEditing(message.id);
              }}
              data-testid="edit"
            >
              <IconPencil size={16} />
            </ActionIcon>
          </Tooltip>
        )}
      </Group>
    </div>
  );
});

function QuestionEditor(props: { text: string; onSend: (text: string) => void; onCancel: () => void }) {
  const [text, setText] = useState(props.text);
  const question = text.trim();
  const ready = question !== "" && question !== props.text.trim();
  const send = () => {
    if (ready) props.onSend(question);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Escape") props.onCancel();
    if (!sends(event)) return;
    event.preventDefault();
    send();
  };
  return (
    <form
      className="question-editor"
      aria-label="Edit the question"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <Textarea
        aria-label="Your question, edited"
        autoFocus
        autosize
        minRows={2}
        maxRows={12}
        maxLength={LONGEST_QUESTION}
        value={text}
        onFocus={(event) => {
          event.currentTarget.setSelectionRange(text.length, text.length);
        }}
        onChange={(event) => {
          setText(event.currentTarget.value);
        }}
        onKeyDown={onKey}
        data-testid="edited-question"
      />
      <Group gap="xs" justify="end" mt={8}>
        <Button size="xs" variant="default" onClick={props.onCancel}>
          Cancel
        </Button>
        <Button size="xs" type="submit" disabled={!ready} data-testid="send-edited">
          Ask this instead
        </Button>
      </Group>
    </form>
  );
}
