/** A look into a document: its text as it was read, and how it is cut into passages. */
import { Badge, Box, Drawer, Group, Tabs, Text } from "@mantine/core";

import type { Chatbot, KnowledgeDocument } from "../api/types";
import { ChunkPanel } from "./ChunkPanel";
import { DocumentTextPanel } from "./DocumentTextPanel";
import { details } from "./preview";

interface Props {
  bot: Chatbot;
  document: KnowledgeDocument;
  opened: boolean;
  onClose: () => void;
}

export function DocumentDrawer({ bot, document, opened, onClose }: Props) {
  const labels = Object.entries(document.metadata);
  return (
    <Drawer
      opened={opened}
      onClose={onClose}
      position="right"
      size="lg"
      title={
        <Box>
          <Text fw={600} style={{ overflowWrap: "anywhere" }}>
            {document.name}
          </Text>
          <Text size="sm" c="dimmed">
            {details(document)}
          </Text>
        </Box>
      }
      closeButtonProps={{ "aria-label": "Close the document" }}
    >
      {document.source && (
        <Text size="xs" c="dimmed" mb="xs" style={{ overflowWrap: "anywhere" }}>
          From {document.source}
        </Text>
      )}
      {labels.length > 0 && (
        <Group gap={6} mb="sm">
          {labels.map(([key, value]) => (
            <Badge key={key} size="sm" variant="default" tt="none" fw={500}>
              {key}: {String(value)}
            </Badge>
          ))}
        </Group>
      )}
      <Tabs defaultValue="text" keepMounted={false}>
        <Tabs.List mb="sm">
          <Tabs.Tab value="text">Text</Tabs.Tab>
          <Tabs.Tab value="passages" data-testid="tab-passages">
            Passages
          </Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="text">
          <DocumentTextPanel bot={bot.id} document={document.id} />
        </Tabs.Panel>
        <Tabs.Panel value="passages">
          <ChunkPanel bot={bot} document={document.id} />
        </Tabs.Panel>
      </Tabs>
    </Drawer>
  );
}
