/** A chatbot's configuration: every save makes a new version. */
import { Badge, Button, Divider, Drawer, Group, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import type { Chatbot, ChatbotConfig } from "../api/types";
import { BotDeletion } from "./BotDeletion";
import { ConfigFields } from "./ConfigFields";
import { PromptPreview } from "./PromptPreview";
import { VersionList } from "./VersionList";

interface Props {
  bot: Chatbot;
  opened: boolean;
  onClose: () => void;
}

export function BotSettings({ bot, opened, onClose }: Props) {
  const { api } = useServices();
  const queries = useQueryClient();
  const [config, setConfig] = useState<ChatbotConfig>(bot.config);
  const changed = JSON.stringify(config) !== JSON.stringify(bot.config);

  const save = useMutation({
    mutationFn: () => api.saveConfig(bot.id, config),
    onSuccess: (saved) => {
      queries.setQueryData<Chatbot[]>(["bots"], (bots) => bots?.map((item) => (item.id === saved.id ? saved : item)));
      void queries.invalidateQueries({ queryKey: ["versions", bot.id] });
      notifications.show({ color: "pine", message: `Saved as version ${String(saved.version)}.` });
    },
  });

  return (
    <Drawer
      opened={opened}
      onClose={onClose}
      position="right"
      size="md"
      title={
        <Group gap="sm">
          <Text fw={600}>{bot.name}</Text>
          <Badge variant="light" tt="none" data-testid="bot-version">
            Version {bot.version}
          </Badge>
        </Group>
      }
      closeButtonProps={{ "aria-label": "Close the settings" }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
        data-testid="settings-form"
      >
        <Stack gap="md">
          <ConfigFields config={config} onChange={setConfig} />
          {save.isError && (
            <Text size="sm" c="red" role="alert">
              {sentence(save.error)}
            </Text>
          )}
          <Group justify="end" gap="xs">
            <Button
              variant="default"
              disabled={!changed}
              onClick={() => {
                setConfig(bot.config);
              }}
            >
              Undo changes
            </Button>
            <Button type="submit" disabled={!changed} loading={save.isPending} data-testid="save-settings">
              Save
            </Button>
          </Group>
        </Stack>
      </form>
      <Divider my="lg" />
      <PromptPreview bot={bot.id} config={config} />
      <Divider my="lg" />
      {opened && <VersionList bot={bot} onChoose={setConfig} />}
      <Divider my="lg" />
      <BotDeletion bot={bot} onDeleted={onClose} />
    </Drawer>
  );
}
