/** One stored document and how far it is. */
import { ActionIcon, Badge, Button, Group, Paper, Popover, Progress, Text, Tooltip, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconTrash } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { showError, useServices } from "../api/services";
import type { Chatbot, KnowledgeDocument } from "../api/types";
import { DocumentDrawer } from "./DocumentDrawer";
import { details, recognised } from "./preview";

const COLOURS = { queued: "gray", processing: "blue", ready: "pine", failed: "red" } as const;
const WORDS = { queued: "Queued", processing: "Processing", ready: "Ready", failed: "Failed" } as const;

export function DocumentRow({ bot, document }: { bot: Chatbot; document: KnowledgeDocument }) {
  const { api } = useServices();
  const queries = useQueryClient();
  const [asking, confirm] = useDisclosure(false);
  const [looking, look] = useDisclosure(false);
  const remove = useMutation({
    mutationFn: () => api.deleteDocument(bot.id, document.id),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["documents", bot.id] }),
    onError: (reason) => {
      showError("The document was not deleted", reason);
    },
  });
  const busy = document.status === "queued" || document.status === "processing";

  const name = (
    <Text size="sm" truncate title={document.name} data-testid="document-name">
      {document.name}
    </Text>
  );

  return (
    <Paper component="li" withBorder p="xs" px="sm" data-testid="document-row" data-status={document.status}>
      <Group justify="space-between" wrap="nowrap" gap="xs">
        {document.status === "ready" ? (
          <UnstyledButton className="link" miw={0} onClick={look.open} aria-haspopup="dialog">
            {name}
          </UnstyledButton>
        ) : (
          name
        )}
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
        {document.stale && (
          <Tooltip multiline w={240} label="It was cut by earlier settings, or for another embedding model. Upload it again after deleting it to cut it anew.">
            <Badge size="sm" variant="outline" color="gray" flex="none" tt="none" fw={550} tabIndex={0}>
              Earlier settings
            </Badge>
          </Tooltip>
        )}
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
      {document.status === "ready" && document.recognised_pages !== null && (
        <Text size="xs" c="dimmed" mt={4} data-testid="document-recognised">
          {recognised(document.recognised_pages, document.recognition_confidence ?? 0)}
        </Text>
      )}
      {document.status === "ready" && document.notice && (
        <Text size="xs" mt={4} data-testid="document-notice">
          {document.notice}
        </Text>
      )}
      <DocumentDrawer bot={bot} document={document} opened={looking} onClose={look.close} />
    </Paper>
  );
}
