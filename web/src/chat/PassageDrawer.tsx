/** The passage behind a citation, in its surroundings, with the exact span marked. */
import { ActionIcon, Box, Drawer, Group, Text } from "@mantine/core";
import { IconChevronLeft, IconChevronRight } from "@tabler/icons-react";
import type { KeyboardEvent } from "react";

import { place } from "../layout/words";
import { PassageText } from "./PassageText";
import { stepped } from "./reading";
import type { Sources } from "./reading";

interface Props {
  bot: string;
  session: string;
  sources: Sources | null;
  opened: boolean;
  onChoose: (sources: Sources) => void;
  onClose: () => void;
}

export function PassageDrawer({ bot, session, sources, opened, onChoose, onClose }: Props) {
  const citation = sources?.citations[sources.index];
  const onKey = (event: KeyboardEvent) => {
    if (!sources || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.key === "ArrowRight") onChoose(stepped(sources, 1));
    if (event.key === "ArrowLeft") onChoose(stepped(sources, -1));
  };
  return (
    <Drawer
      opened={opened}
      onClose={onClose}
      position="right"
      size="lg"
      onKeyDown={onKey}
      title={
        <Box>
          <Text fw={600} data-testid="passage-document">
            {citation?.document_name}
          </Text>
          <Text size="sm" c="dimmed" data-testid="passage-place">
            {citation && place(citation)}
          </Text>
        </Box>
      }
      closeButtonProps={{ "aria-label": "Close the passage" }}
    >
      {sources && sources.citations.length > 1 && <Steps sources={sources} onChoose={onChoose} />}
      {sources && citation && (
        <PassageText
          key={`${String(sources.message)}/${citation.document_id}/${String(citation.start)}/${String(citation.end)}`}
          bot={bot}
          session={session}
          message={sources.message}
          citation={citation}
        />
      )}
    </Drawer>
  );
}

function Steps({ sources, onChoose }: { sources: Sources; onChoose: (sources: Sources) => void }) {
  const { index, citations } = sources;
  return (
    <Group gap="xs" mb="sm" role="group" aria-label="Sources of the answer">
      <ActionIcon
        variant="default"
        size="md"
        aria-label="Previous source"
        disabled={index === 0}
        onClick={() => {
          onChoose(stepped(sources, -1));
        }}
        data-testid="passage-previous"
      >
        <IconChevronLeft size={16} />
      </ActionIcon>
      <Text size="sm" c="dimmed" aria-live="polite" data-testid="passage-number">
        Source {index + 1} of {citations.length}
      </Text>
      <ActionIcon
        variant="default"
        size="md"
        aria-label="Next source"
        disabled={index === citations.length - 1}
        onClick={() => {
          onChoose(stepped(sources, 1));
        }}
        data-testid="passage-next"
      >
        <IconChevronRight size={16} />
      </ActionIcon>
    </Group>
  );
}
