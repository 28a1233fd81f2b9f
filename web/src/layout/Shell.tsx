/** The rail beside the conversation. */
import { AppShell, Button, Center, Loader, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";

import { ApiError, sentence } from "../api/errors";
import { useServices } from "../api/services";
import { Enrolment } from "../auth/Enrolment";
import type { SignedIn } from "../auth/session";
import { BotSettings } from "../bots/BotSettings";
import { ChatPane } from "../chat/ChatPane";
import { Rail } from "./Rail";
import { goTo, useRoute } from "./route";

export function Shell({ who }: { who: SignedIn }) {
  const { api } = useServices();
  const route = useRoute();
  const [railOpen, rail] = useDisclosure(false);
  const [settingsOpen, settings] = useDisclosure(false);
  const bots = useQuery({ queryKey: ["bots"], queryFn: api.chatbots });
  const bot = bots.data?.find((candidate) => candidate.id === route.bot);
  const first = bots.data?.[0];

  // An address of a bot that is not there (deleted, or of another account) falls back to the first one.
  useEffect(() => {
    if (bots.isSuccess && !bots.isFetching && !bot && (first || route.bot)) goTo(first?.id ?? null);
  }, [bots.isSuccess, bots.isFetching, bot, first, route.bot]);

  // A file dropped beside its target must not make the browser leave the page.
  useEffect(() => {
    const keep = (event: Event) => {
      event.preventDefault();
    };
    addEventListener("dragover", keep);
    addEventListener("drop", keep);
    return () => {
      removeEventListener("dragover", keep);
      removeEventListener("drop", keep);
    };
  }, []);

  let main;
  if (bots.isPending) {
    main = <Loader aria-label="Loading" />;
  } else if (bots.error instanceof ApiError && bots.error.code === "mfa_enrolment_required") {
    main = (
      <Stack maw={440} p="xl" gap="xs">
        <Text fw={600} fz="lg">
          Your company asks for a second factor
        </Text>
        <Enrolment onDone={() => void bots.refetch()} />
      </Stack>
    );
  } else if (bots.isError) {
    main = (
      <Stack align="center">
        <Text>{sentence(bots.error)}</Text>
        <Button variant="light" onClick={() => void bots.refetch()}>
          Try again
        </Button>
      </Stack>
    );
  } else if (!bot) {
    main = (
      <Stack align="center" gap="xs" p="xl">
        <Text fw={600} fz="lg">
          No chatbot yet
        </Text>
        <Text c="dimmed" ta="center">
          Create one in the list on the left, then give it documents to answer from.
        </Text>
        <Button hiddenFrom="sm" mt="sm" onClick={rail.open}>
          Open the list
        </Button>
      </Stack>
    );
  }

  return (
    <AppShell navbar={{ width: 312, breakpoint: "sm", collapsed: { mobile: !railOpen } }}>
      <AppShell.Navbar bg="var(--page-rail)" aria-label="Chatbots, conversations and documents">
        <Rail who={who} bots={bots.data ?? []} bot={bot} session={route.session} onLeave={rail.close} />
      </AppShell.Navbar>
      <AppShell.Main h="100dvh" mih={0}>
        {bot ? (
          <ChatPane
            key={bot.id}
            bot={bot}
            session={route.session}
            onMenu={rail.open}
            onSettings={settings.open}
          />
        ) : (
          <Center h="100%">{main}</Center>
        )}
      </AppShell.Main>
      {bot && <BotSettings key={`${bot.id}/${String(bot.version)}`} bot={bot} opened={settingsOpen} onClose={settings.close} />}
    </AppShell>
  );
}
