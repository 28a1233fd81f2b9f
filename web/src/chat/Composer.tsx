/** Where a question is written. Enter sends, Shift and Enter make a new line. */
import { ActionIcon, Text, Textarea } from "@mantine/core";
import { IconArrowUp, IconPlayerStopFilled } from "@tabler/icons-react";
import { useState } from "react";
import type { KeyboardEvent } from "react";

import { LONGEST_QUESTION, sends } from "./writing";

interface Props {
  /** Something has to finish before a question can go. */
  busy: boolean;
  answering: boolean;
  error: string | null;
  onSend: (text: string) => void;
  onStop: (() => void) | undefined;
}

export function Composer({ busy, answering, error, onSend, onStop }: Props) {
  const [text, setText] = useState("");
  const [sent, setSent] = useState("");
  const question = text.trim();
  const ready = question !== "" && !busy && !answering;

  const send = () => {
    if (!ready) return;
    setSent(text);
    onSend(question);
    setText("");
  };
  const onKey = (event: KeyboardEvent) => {
    if (!sends(event)) return;
    event.preventDefault();
    send();
  };

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {error && (
        <Text size="sm" c="red" role="alert" mb={6}>
          {error}{" "}
          {sent && !text && (
            <button
              type="button"
              className="link"
              onClick={() => {
                setText(sent);
              }}
            >
              Bring the question back
            </button>
          )}
        </Text>
      )}
      <Textarea
        aria-label="Your question"
        placeholder="Ask a question"
        autosize
        minRows={1}
        maxRows={8}
        size="md"
        radius="lg"
        maxLength={LONGEST_QUESTION}
        value={text}
        rightSectionWidth={48}
        onChange={(event) => {
          setText(event.currentTarget.value);
        }}
        onKeyDown={onKey}
        data-testid="question"
        rightSection={
          answering ? (
            <ActionIcon size={34} radius="xl" color="gray" variant="filled" aria-label="Stop" onClick={onStop} data-testid="stop">
              <IconPlayerStopFilled size={16} />
            </ActionIcon>
          ) : (
            <ActionIcon
              type="submit"
              size={34}
              radius="xl"
              disabled={!ready}
              loading={busy}
              aria-label="Send"
              data-testid="send"
            >
              <IconArrowUp size={19} />
            </ActionIcon>
          )
        }
      />
      <Text size="xs" c="dimmed" ta="center" mt={8}>
        {text.length > LONGEST_QUESTION - 1_000
          ? `${text.length.toLocaleString()} of ${LONGEST_QUESTION.toLocaleString()} characters`
          : "Answers can be wrong. Open the sources to check them."}
      </Text>
    </form>
  );
}

/** In place of the composer where no more questions are taken. */
export function ClosedNotice({ onNew }: { onNew: () => void }) {
  return (
    <div className="composer" role="status" data-testid="closed-notice">
      <Text size="sm" c="dimmed" ta="center" py="md">
        This conversation is closed.{" "}
        <button type="button" className="link" onClick={onNew}>
          Start a new one
        </button>
      </Text>
    </div>
  );
}
