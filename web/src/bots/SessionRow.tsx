/** One conversation in the list: opens it, and renames, closes or deletes it. */
import { ActionIcon, Button, Group, Menu, Modal, Text, TextInput, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconDots, IconLock, IconLockOpen, IconPencil, IconTrash } from "@tabler/icons-react";
import { useRef, useState } from "react";
import type { KeyboardEvent } from "react";

import { useSessionChange, useSessionDeletion } from "../api/sessions";
import type { ChatSession } from "../api/types";
import { ago } from "../layout/words";

const LONGEST_TITLE = 200;

interface Props {
  bot: string;
  session: ChatSession;
  open: boolean;
  onOpen: () => void;
  onDeleted: () => void;
}

export function SessionRow({ bot, session, open, onOpen, onDeleted }: Props) {
  const [renaming, rename] = useDisclosure(false);
  const [deleting, deletion] = useDisclosure(false);
  const change = useSessionChange(bot, session);
  const remove = useSessionDeletion(bot, session, onDeleted);
  const menu = useRef<HTMLButtonElement>(null);
  const title = session.title || "New conversation";
  const closed = session.closed_at !== null;
  // Until the list is fetched again, the new name is known from here.
  const shownTitle = change.isPending ? (change.variables.title ?? title) : title;

  if (renaming) {
    return (
      <TitleField
        title={session.title}
        onDone={(text) => {
          rename.close();
          // The row is there again after this rendering.
          setTimeout(() => menu.current?.focus());
          if (text && text !== session.title) change.mutate({ title: text });
        }}
      />
    );
  }
  return (
    <div className="rail-row">
      <UnstyledButton
        className="rail-item"
        aria-current={open ? "page" : undefined}
        onClick={onOpen}
        data-testid="session-item"
      >
        <Text size="sm" truncate>
          {shownTitle}
        </Text>
        <Text size="xs" c="dimmed">
          {[ago(session.updated_at), session.visitor_id ? "visitor" : "", closed ? "closed" : ""].filter(Boolean).join(" · ")}
        </Text>
      </UnstyledButton>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <ActionIcon
            ref={menu}
            className="rail-menu quiet"
            variant="subtle"
            color="gray"
            c="dimmed"
            size="sm"
            aria-label={`Options of ${title}`}
            data-testid="session-menu"
          >
            <IconDots size={16} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<IconPencil size={16} />} onClick={rename.open} data-testid="session-rename">
            Rename
          </Menu.Item>
          <Menu.Item
            leftSection={closed ? <IconLockOpen size={16} /> : <IconLock size={16} />}
            onClick={() => {
              change.mutate({ closed: !closed });
            }}
            data-testid="session-close"
          >
            {closed ? "Open again" : "Close"}
          </Menu.Item>
          <Menu.Item color="red" leftSection={<IconTrash size={16} />} onClick={deletion.open} data-testid="session-delete">
            Delete
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Modal opened={deleting} onClose={deletion.close} title="Delete this conversation?" centered>
        <Text size="sm" mb="md">
          “{title}” and all of its messages go away. This cannot be undone.
        </Text>
        <Group gap="xs" justify="end">
          <Button variant="default" onClick={deletion.close} data-autofocus>
            Keep
          </Button>
          <Button
            color="red"
            loading={remove.isPending}
            onClick={() => {
              remove.mutate(undefined, { onSettled: deletion.close });
            }}
            data-testid="session-delete-confirm"
          >
            Delete
          </Button>
        </Group>
      </Modal>
    </div>
  );
}

/** `onDone` gets the new title, or null when it was left as it is. */
function TitleField({ title, onDone }: { title: string; onDone: (title: string | null) => void }) {
  const [text, setText] = useState(title);
  // Leaving the field by a key also takes the focus from it.
  const left = useRef(false);
  const leave = (result: string | null) => {
    if (left.current) return;
    left.current = true;
    onDone(result);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Enter") leave(text.trim());
    if (event.key === "Escape") leave(null);
  };
  return (
    <TextInput
      aria-label="Name of the conversation"
      autoFocus
      size="sm"
      px={4}
      py={6}
      maxLength={LONGEST_TITLE}
      value={text}
      onFocus={(event) => {
        event.currentTarget.select();
      }}
      onChange={(event) => {
        setText(event.currentTarget.value);
      }}
      onKeyDown={onKey}
      onBlur={() => {
        leave(text.trim());
      }}
      data-testid="session-title"
    />
  );
}
