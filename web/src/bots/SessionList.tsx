/** The conversations of a chatbot, newest first, a page at a time. */
import { Box, Button, Loader, ScrollArea, Stack, Text } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";

import { sentence } from "../api/errors";
import { useSessionList } from "../api/sessions";
import type { Chatbot } from "../api/types";
import { goTo } from "../layout/route";
import { SessionRow } from "./SessionRow";

interface Props {
  bot: Chatbot;
  session: string | null;
  onChoose: () => void;
}

export function SessionList({ bot, session, onChoose }: Props) {
  const { list, sessions } = useSessionList(bot.id);
  const open = (id: string | null) => {
    goTo(bot.id, id);
    onChoose();
  };

  return (
    <Stack h="100%" gap={0}>
      <Box p="md" pb="xs">
        <Button
          fullWidth
          variant="default"
          leftSection={<IconPlus size={16} />}
          onClick={() => {
            open(null);
          }}
          data-testid="new-session"
        >
          New conversation
        </Button>
      </Box>
      <ScrollArea flex={1} px="xs" type="auto">
        <Stack component="nav" gap={2} pb="md" aria-label="Conversations">
          {list.isPending && <Loader size="sm" mx="auto" my="md" aria-label="Loading" />}
          {list.isError && (
            <Text size="sm" c="red" px="sm">
              {sentence(list.error)}
            </Text>
          )}
          {list.isSuccess && sessions.length === 0 && (
            <Text size="sm" c="dimmed" px="sm" py="xs">
              Conversations appear here.
            </Text>
          )}
          {sessions.map((item) => (
            <SessionRow
              key={item.id}
              bot={bot.id}
              session={item}
              open={item.id === session}
              onOpen={() => {
                open(item.id);
              }}
              onDeleted={() => {
                if (item.id === session) goTo(bot.id);
              }}
            />
          ))}
          {list.hasNextPage && (
            <Button
              variant="subtle"
              color="gray"
              size="xs"
              loading={list.isFetchingNextPage}
              onClick={() => void list.fetchNextPage()}
            >
              Show earlier ones
            </Button>
          )}
        </Stack>
      </ScrollArea>
    </Stack>
  );
}
