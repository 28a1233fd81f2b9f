/** A file that is being sent, or was refused. */
import { ActionIcon, Group, Paper, Progress, Text } from "@mantine/core";
import { IconX } from "@tabler/icons-react";

import type { Upload } from "./uploads";

export function UploadRow({ upload, onDismiss }: { upload: Upload; onDismiss: (id: string) => void }) {
  const percent = Math.round(upload.share * 100);
  return (
    <Paper component="li" withBorder p="xs" px="sm" data-testid="upload-row">
      <Group justify="space-between" wrap="nowrap" gap="xs">
        <Text size="sm" truncate title={upload.name}>
          {upload.name}
        </Text>
        {upload.error ? (
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            aria-label={`Dismiss ${upload.name}`}
            onClick={() => {
              onDismiss(upload.id);
            }}
          >
            <IconX size={14} />
          </ActionIcon>
        ) : (
          <Text size="xs" c="dimmed">
            {percent} %
          </Text>
        )}
      </Group>
      {upload.error ? (
        <Text size="xs" c="red" role="alert">
          {upload.error}
        </Text>
      ) : (
        <Progress value={percent} size="sm" mt={6} aria-label={`Uploading ${upload.name}`} />
      )}
    </Paper>
  );
}
