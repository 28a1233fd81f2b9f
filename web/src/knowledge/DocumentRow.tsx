/** One stored document and how far it is. */
import { ActionIcon, Badge, Button, Group, Paper, Popover, Progress, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconTrash } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { showError, useServices } from "../api/services";
import type { KnowledgeDocument } from "../api/types";
import { fileSize } from "../layout/words";

const COLOURS = { queued: "gray", processing: "blue", ready: "pine", failed: "red" } as const;
const WORDS = { queued: "Queued", processing: "Processing", ready: "Ready", failed: "Failed" } as const;

function details(item: KnowledgeDocument): string {
  const parts = [fileSize(item.size)];
  if (item.pages) parts.push(item.pages === 1 ? "1 page" : `${String(item.pages)} pages`);
  if (item.chunks) parts.push(item.chunks === 1 ? "1 passage" : `${String(item.chunks)} passages`);
  return parts.join(" · ");
}

export function DocumentRow({ bot, document }: { bot: string; document: KnowledgeDocument }) {
  const { api } = useServices();
  const queries = useQueryClient();
  const [asking, confirm] = useDisclosure(false);
  const remove = useMutation({
    mutationFn: () => api.deleteDocument(bot, document.id),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["documents", bot] }),
    onError: (reason) => {
      showError("The document was not deleted", reason);
    },
  });
  const busy = document.status === "queued" || document.status === "processing";

  return (
    <Paper component="li" withBorder p="xs" px="sm" data-testid="document-row" data-status={document.status}>
      <Group justify="space-between" wrap="nowrap" gap="xs">
        <Text size="sm" truncate title={document.name} data-testid="document-name">
          {document.name}
        </Text>
        <Popover opened={asking} onDismiss={confirm.close} position="bottom-end" withArrow trapFocus>
          <Popover.Target>
            <ActionIcon
              variant="subtle"
              color="gray"
              size="sm"
              aria-label={`Delete ${document.name}`}
              loading={remove.isPending}
              onClick={confirm.open}
            >
              <IconTrash size={15} />
            </ActionIcon>
          </Popover.Target>
          <Popover.Dropdown>
            <Text size="sm" mb="xs">
              Delete this document? Answers will no longer use it.
            </Text>
            <Group gap="xs" justify="end">
              <Button size="xs" variant="default" onClick={confirm.close}>
                Keep
              </Button>
              <Button
                size="xs"
                color="red"
                onClick={() => {
                  confirm.close();
                  remove.mutate();
                }}
              >
                Delete
              </Button>
            </Group>
          </Popover.Dropdown>
        </Popover>
      </Group>
      <Group justify="space-between" wrap="nowrap" gap="xs" mt={4}>
        <Text size="xs" c="dimmed" truncate>
          {details(document)}
        </Text>
        <Badge size="sm" variant="light" color={COLOURS[document.status]} flex="none" tt="none" fw={550}>
          {WORDS[document.status]}
        </Badge>
      </Group>
      {busy && <Progress value={100} animated size="xs" mt={6} aria-label={`${document.name} is being processed`} />}
      {document.status === "failed" && (
        <Text size="xs" c="red" mt={4}>
          {document.reason ?? "The document could not be read."}
        </Text>
      )}
    </Paper>
  );
}
