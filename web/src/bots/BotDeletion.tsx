/** Deletes a chatbot, after its name has been typed. */
import { Button, Stack, Text, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { showError, useServices } from "../api/services";
import type { Chatbot } from "../api/types";

export function BotDeletion({ bot, onDeleted }: { bot: Chatbot; onDeleted: () => void }) {
  const { api } = useServices();
  const queries = useQueryClient();
  const [typed, setTyped] = useState("");
  const remove = useMutation({
    mutationFn: () => api.deleteChatbot(bot.id),
    onSuccess: () => {
      onDeleted();
      queries.setQueryData<Chatbot[]>(["bots"], (bots) => bots?.filter((item) => item.id !== bot.id));
    },
    onError: (reason) => {
      showError("The chatbot was not deleted", reason);
    },
  });
  return (
    <Stack gap="xs" pb="md">
      <Text size="sm" fw={600}>
        Delete this chatbot
      </Text>
      <Text size="sm" c="dimmed">
        Its documents and conversations go with it. This cannot be undone.
      </Text>
      <TextInput
        aria-label="Name of the chatbot, to confirm"
        placeholder={bot.name}
        value={typed}
        onChange={(event) => {
          setTyped(event.currentTarget.value);
        }}
      />
      <Button
        color="red"
        variant="light"
        disabled={typed !== bot.name}
        loading={remove.isPending}
        onClick={() => {
          remove.mutate();
        }}
      >
        Delete
      </Button>
    </Stack>
  );
}
