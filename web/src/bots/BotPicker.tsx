/** Chooses a chatbot, or makes a new one. */
import { Box, Button, Group, Menu, Modal, ScrollArea, Stack, Text, TextInput, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconCheck, IconPlus, IconSelector } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { FormEvent } from "react";

import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import type { Chatbot } from "../api/types";
import { goTo } from "../layout/route";

export function BotPicker({ bots, bot }: { bots: Chatbot[]; bot: Chatbot | undefined }) {
  const [creating, dialog] = useDisclosure(false);
  return (
    <>
      {bots.length > 0 ? (
        <Menu width="target" position="bottom-start">
          <Menu.Target>
            <UnstyledButton
              w="100%"
              px="sm"
              py={9}
              bd="1px solid var(--mantine-color-default-border)"
              bg="var(--mantine-color-body)"
              style={{ borderRadius: "var(--mantine-radius-md)" }}
              aria-label={`Chatbot: ${bot?.name ?? "none"}. Choose another`}
              data-testid="bot-picker"
            >
              <Group justify="space-between" wrap="nowrap">
                <Text size="sm" fw={550} truncate>
                  {bot?.name ?? "Choose a chatbot"}
                </Text>
                <IconSelector size={16} opacity={0.6} />
              </Group>
            </UnstyledButton>
          </Menu.Target>
          <Menu.Dropdown>
            <ScrollArea.Autosize mah={320}>
              {bots.map((item) => (
                <Menu.Item
                  key={item.id}
                  rightSection={item.id === bot?.id ? <IconCheck size={15} /> : undefined}
                  onClick={() => {
                    goTo(item.id);
                  }}
                >
                  <Text size="sm" truncate>
                    {item.name}
                  </Text>
                </Menu.Item>
              ))}
            </ScrollArea.Autosize>
            <Menu.Divider />
            <Menu.Item leftSection={<IconPlus size={15} />} onClick={dialog.open} data-testid="new-bot">
              New chatbot
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      ) : (
        <Button fullWidth leftSection={<IconPlus size={16} />} onClick={dialog.open} data-testid="new-bot">
          New chatbot
        </Button>
      )}
      <Modal opened={creating} onClose={dialog.close} title="New chatbot" centered>
        <NewBot onDone={dialog.close} />
      </Modal>
    </>
  );
}

function NewBot({ onDone }: { onDone: () => void }) {
  const { api } = useServices();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const create = useMutation({
    mutationFn: () => api.createChatbot(name.trim()),
    onSuccess: (made) => {
      queries.setQueryData<Chatbot[]>(["bots"], (bots) => [...(bots ?? []), made]);
      goTo(made.id);
      onDone();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim()) create.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label="Name"
          placeholder="Support assistant"
          required
          maxLength={100}
          data-autofocus
          value={name}
          error={create.isError ? sentence(create.error) : undefined}
          onChange={(event) => {
            setName(event.currentTarget.value);
          }}
        />
        <Box ta="end">
          <Button type="submit" loading={create.isPending} disabled={!name.trim()}>
            Create
          </Button>
        </Box>
      </Stack>
    </form>
  );
}
