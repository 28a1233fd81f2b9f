/** Where a question is written. Enter sends, Shift and Enter make a new line. */
import { ActionIcon, Text, Textarea } from "@mantine/core";
import { IconArrowUp, IconPlayerStopFilled } from "@tabler/icons-react";
import { useState } from "react";
import type { KeyboardEvent } from "react";

const LONGEST = 16_000;

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
    // While an input method composes, Enter chooses a candidate.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
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
        maxLength={LONGEST}
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
        {text.length > LONGEST - 1_000
          ? `${text.length.toLocaleString()} of ${LONGEST.toLocaleString()} characters`
          : "Answers can be wrong. Open the sources to check them."}
      </Text>
    </form>
  );
}
