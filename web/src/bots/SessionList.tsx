/** The conversations of a chatbot, newest first, a page at a time. */
import { Box, Button, Loader, ScrollArea, Stack, Text, UnstyledButton } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";

import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import type { Chatbot } from "../api/types";
import { goTo } from "../layout/route";
import { ago } from "../layout/words";

interface Props {
  bot: Chatbot;
  session: string | null;
  onChoose: () => void;
}

export function SessionList({ bot, session, onChoose }: Props) {
  const { api } = useServices();
  const list = useInfiniteQuery({
    queryKey: ["sessions", bot.id],
    queryFn: ({ pageParam }) => api.sessions(bot.id, pageParam),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
  });
  const sessions = list.data?.pages.flatMap((page) => page.items) ?? [];
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
            <UnstyledButton
              key={item.id}
              className="rail-item"
              aria-current={item.id === session ? "page" : undefined}
              onClick={() => {
                open(item.id);
              }}
              data-testid="session-item"
            >
              <Text size="sm" truncate maw={262}>
                {item.title || "New conversation"}
              </Text>
              <Text size="xs" c="dimmed">
                {ago(item.updated_at)}
              </Text>
            </UnstyledButton>
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
