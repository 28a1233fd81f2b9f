/** Goes through the versions of a turn: edited questions and answers given again. */
import { ActionIcon, Group, Text } from "@mantine/core";
import { IconChevronLeft, IconChevronRight } from "@tabler/icons-react";
import { useState } from "react";
import type { ReactNode } from "react";

import type { Message } from "../api/types";

interface Props {
  message: Message;
  disabled: boolean;
  onChoose: (turnId: string) => Promise<void>;
}

export function Versions({ message, disabled, onChoose }: Props) {
  const { versions, turn_id: shown } = message;
  const [changing, setChanging] = useState(false);
  const at = versions.indexOf(shown);
  if (versions.length < 2 || at === -1) return null;

  const step = (label: string, turnId: string | undefined, icon: ReactNode) => (
    <ActionIcon
      variant="subtle"
      color="gray"
      c="dimmed"
      size={26}
      aria-label={label}
      // Not `disabled`: at the last version the button would lose the focus.
      aria-disabled={disabled || turnId === undefined}
      className="step"
      onClick={() => {
        if (!turnId || disabled || changing) return;
        setChanging(true);
        void onChoose(turnId).finally(() => {
          setChanging(false);
        });
      }}
    >
      {icon}
    </ActionIcon>
  );
  return (
    <Group gap={2} wrap="nowrap" role="group" aria-label="Versions" data-testid="versions" aria-busy={changing}>
      {step("Earlier version", versions[at - 1], <IconChevronLeft size={16} />)}
      <Text size="xs" c="dimmed" aria-label={`Version ${String(at + 1)} of ${String(versions.length)}`} aria-live="polite">
        {at + 1}/{versions.length}
      </Text>
      {step("Later version", versions[at + 1], <IconChevronRight size={16} />)}
    </Group>
  );
}
