/** The passage behind a citation, in its surroundings, with the exact span marked. */
import { Box, Button, Drawer, Loader, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useCallback } from "react";

import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import { place } from "../layout/words";
import type { Citation } from "../protocol/frames";

interface Props {
  bot: string;
  citation: Citation | null;
  opened: boolean;
  onClose: () => void;
}

export function PassageDrawer({ bot, citation, opened, onClose }: Props) {
  return (
    <Drawer
      opened={opened}
      onClose={onClose}
      position="right"
      size="lg"
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
      {citation && <PassageText bot={bot} citation={citation} />}
    </Drawer>
  );
}

function PassageText({ bot, citation }: { bot: string; citation: Citation }) {
  const { api } = useServices();
  const { document_id, start, end, snippet } = citation;
  const passage = useQuery({
    queryKey: ["passage", document_id, start, end],
    queryFn: ({ signal }) => api.passage(bot, document_id, start, end, signal),
  });
  const showMark = useCallback((mark: HTMLElement | null) => {
    mark?.scrollIntoView({ block: "center" });
  }, []);

  if (passage.isPending) return <Loader size="sm" aria-label="Loading the passage" />;
  if (passage.isError) {
    return (
      <Stack align="flex-start">
        <Text size="sm" c="red" role="alert">
          {sentence(passage.error)}
        </Text>
        <Button size="xs" variant="light" onClick={() => void passage.refetch()}>
          Try again
        </Button>
        <Text size="xs" c="dimmed">
          The answer quoted:
        </Text>
        <div className="passage">{snippet}</div>
      </Stack>
    );
  }
  const { before, text, after } = passage.data;
  return (
    <div className="passage" dir="auto" data-testid="passage">
      <span className="around">{before}</span>
      <mark ref={showMark} data-testid="passage-mark">
        {text}
      </mark>
      <span className="around">{after}</span>
    </div>
  );
}
