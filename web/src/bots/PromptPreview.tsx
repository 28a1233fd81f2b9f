/** What the model would be told with the settings as they are in the form. */
import { Badge, Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";

import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import type { ChatbotConfig } from "../api/types";
import { PromptMessages } from "../chat/PromptMessages";

interface Props {
  bot: string;
  config: ChatbotConfig;
}

export function PromptPreview({ bot, config }: Props) {
  const { api } = useServices();
  const [question, setQuestion] = useState("");
  const preview = useMutation({ mutationFn: () => api.previewPrompt(bot, question.trim(), config) });
  const shown = preview.data;
  return (
    <Stack gap="xs">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          preview.mutate();
        }}
      >
        <Group align="end" gap="xs" wrap="nowrap">
          <TextInput
            label="Prompt for a question"
            style={{ flex: 1 }}
            maxLength={16_000}
            value={question}
            onChange={(event) => {
              setQuestion(event.currentTarget.value);
            }}
          />
          <Button type="submit" variant="default" disabled={!question.trim()} loading={preview.isPending}>
            Show
          </Button>
        </Group>
      </form>
      {preview.isError && (
        <Text size="sm" c="red" role="alert">
          {sentence(preview.error)}
        </Text>
      )}
      {shown && (
        <Stack gap="xs" data-testid="prompt-preview">
          <Text size="sm">
            {shown.tokens} of {shown.context_tokens} tokens{shown.exact ? "" : ", estimated"}; room for {shown.max_tokens}{" "}
            in the answer.
            {!shown.asked && " No passage answers this, so the model is not asked."}
          </Text>
          <Group gap={4}>
            {Object.entries(shown.parts)
              .filter(([, tokens]) => tokens > 0)
              .map(([name, tokens]) => (
                <Badge key={name} variant="light" tt="none">
                  {name} {tokens}
                </Badge>
              ))}
            {Object.entries(shown.left_out)
              .filter(([, count]) => count > 0)
              .map(([name, count]) => (
                <Badge key={name} variant="outline" color="red" tt="none">
                  {count} {name} left out
                </Badge>
              ))}
          </Group>
          <PromptMessages messages={shown.messages} />
        </Stack>
      )}
    </Stack>
  );
}
