/** Earlier versions of a configuration, to look back at and take up again. */
import { Button, Group, Loader, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import type { Chatbot, ChatbotConfig } from "../api/types";
import { ago } from "../layout/words";

export function VersionList({ bot, onChoose }: { bot: Chatbot; onChoose: (config: ChatbotConfig) => void }) {
  const { api } = useServices();
  const versions = useQuery({ queryKey: ["versions", bot.id], queryFn: () => api.configVersions(bot.id) });
  const earlier = versions.data?.filter((item) => item.version !== bot.version) ?? [];
  return (
    <Stack gap="xs">
      <Text size="sm" fw={600}>
        Earlier versions
      </Text>
      {versions.isPending && <Loader size="sm" aria-label="Loading" />}
      {versions.isError && (
        <Text size="sm" c="red">
          {sentence(versions.error)}
        </Text>
      )}
      {versions.isSuccess && earlier.length === 0 && (
        <Text size="sm" c="dimmed">
          None yet. Every save makes a version.
        </Text>
      )}
      {earlier.map((item) => (
        <Group key={item.version} justify="space-between">
          <Text size="sm">
            Version {item.version}{" "}
            <Text span c="dimmed" size="xs">
              {ago(item.created_at)}
            </Text>
          </Text>
          <Button
            size="compact-xs"
            variant="subtle"
            onClick={() => {
              onChoose(item.config);
            }}
          >
            Load into the form
          </Button>
        </Group>
      ))}
    </Stack>
  );
}
