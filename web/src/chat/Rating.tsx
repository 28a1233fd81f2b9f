/** A thumb up or down for an answer, and what the reader wants to say about it. */
import { ActionIcon, Button, Group, Popover, Stack, Textarea, Tooltip } from "@mantine/core";
import { IconThumbDown, IconThumbDownFilled, IconThumbUp, IconThumbUpFilled } from "@tabler/icons-react";
import { useState } from "react";

import type { Feedback, Message, Rating as Thumb } from "../api/types";
import type { MessageActions } from "./actions";

const LONGEST = 2_000;
const THUMBS = [
  { thumb: "up", label: "Good answer", Empty: IconThumbUp, Filled: IconThumbUpFilled },
  { thumb: "down", label: "Bad answer", Empty: IconThumbDown, Filled: IconThumbDownFilled },
] as const;

export function Rating({ message, onRate }: { message: Message; onRate: MessageActions["rate"] }) {
  const { id, feedback } = message;
  const [commenting, setCommenting] = useState<Thumb | null>(null);

  const choose = (rating: Thumb) => {
    setCommenting(rating);
    if (feedback?.rating !== rating) void onRate(id, { rating, comment: feedback?.comment ?? "" });
  };
  const close = () => {
    setCommenting(null);
  };
  return (
    <Group gap={2} wrap="nowrap" role="group" aria-label="Rate this answer">
      {THUMBS.map(({ thumb, label, Empty, Filled }) => {
        const chosen = feedback?.rating === thumb;
        return (
          <Popover key={thumb} opened={commenting === thumb} onDismiss={close} position="bottom-start" withArrow trapFocus returnFocus>
            <Popover.Target>
              <Tooltip label={label} disabled={commenting !== null}>
                <ActionIcon
                  variant="subtle"
                  color={chosen ? undefined : "gray"}
                  c={chosen ? undefined : "dimmed"}
                  size={26}
                  aria-label={label}
                  aria-pressed={chosen}
                  onClick={() => {
                    choose(thumb);
                  }}
                  data-testid={`rate-${thumb}`}
                >
                  {chosen ? <Filled size={16} /> : <Empty size={16} />}
                </ActionIcon>
              </Tooltip>
            </Popover.Target>
            <Popover.Dropdown w={300}>
              <Comment
                rating={thumb}
                comment={feedback?.comment ?? ""}
                onSave={(saved) => {
                  close();
                  void onRate(id, saved);
                }}
              />
            </Popover.Dropdown>
          </Popover>
        );
      })}
    </Group>
  );
}

interface CommentProps {
  rating: Thumb;
  comment: string;
  onSave: (feedback: Feedback | null) => void;
}

function Comment({ rating, comment, onSave }: CommentProps) {
  const [text, setText] = useState(comment);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onSave({ rating, comment: text.trim() });
      }}
    >
      <Stack gap="xs">
        <Textarea
          label="Comment"
          description="Optional"
          placeholder={rating === "up" ? "What was good about it?" : "What is wrong with it?"}
          data-autofocus
          autosize
          minRows={2}
          maxRows={6}
          maxLength={LONGEST}
          value={text}
          onChange={(event) => {
            setText(event.currentTarget.value);
          }}
          data-testid="rating-comment"
        />
        <Group justify="space-between">
          <Button
            size="xs"
            variant="subtle"
            color="gray"
            onClick={() => {
              onSave(null);
            }}
          >
            Remove the rating
          </Button>
          <Button size="xs" type="submit">
            Save
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
