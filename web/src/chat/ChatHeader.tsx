/** Name of the chatbot, state of the connection, way to the settings. */
import { ActionIcon, Burger, Group, Text, Tooltip, UnstyledButton } from "@mantine/core";
import { IconAdjustmentsHorizontal } from "@tabler/icons-react";

import type { Chatbot } from "../api/types";
import type { Connection } from "../protocol/ports";

const CONNECTIONS: Record<Connection, { text: string; colour: string }> = {
  connecting: { text: "Connecting", colour: "yellow.6" },
  online: { text: "Connected", colour: "teal.6" },
  reconnecting: { text: "Reconnecting", colour: "yellow.6" },
  gone: { text: "Closed", colour: "gray.5" },
  "signed-out": { text: "Signed out", colour: "gray.5" },
};

interface Props {
  bot: Chatbot;
  /** Null while there is no session to be connected to. */
  connection: Connection | null;
  onMenu: () => void;
  onSettings: () => void;
  onReconnect?: () => void;
}

export function ChatHeader({ bot, connection, onMenu, onSettings, onReconnect }: Props) {
  return (
    <Group component="header" className="chat-header" wrap="nowrap" gap="sm">
      <Burger hiddenFrom="sm" size="sm" opened={false} onClick={onMenu} aria-label="Open the list" />
      <Text component="h1" fw={600} fz="md" m={0} truncate flex={1} data-testid="bot-name">
        {bot.name}
      </Text>
      {connection && <ConnectionState connection={connection} onReconnect={onReconnect} />}
      <Tooltip label="Chatbot settings">
        <ActionIcon
          variant="subtle"
          color="gray"
          size="lg"
          aria-label="Chatbot settings"
          onClick={onSettings}
          data-testid="open-settings"
        >
          <IconAdjustmentsHorizontal size={19} />
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}

function ConnectionState({ connection, onReconnect }: { connection: Connection; onReconnect: (() => void) | undefined }) {
  const { text, colour } = CONNECTIONS[connection];
  const waiting = connection === "reconnecting" && onReconnect !== undefined;
  return (
    <Group gap={8} wrap="nowrap" role="status" data-testid="connection" data-state={connection}>
      <Text component="span" fz={9} lh={1} c={colour} aria-hidden>
        ●
      </Text>
      <Text size="xs" c="dimmed">
        {text}
      </Text>
      {waiting && (
        <UnstyledButton fz="xs" c="var(--mantine-color-anchor)" onClick={onReconnect}>
          Try now
        </UnstyledButton>
      )}
    </Group>
  );
}
