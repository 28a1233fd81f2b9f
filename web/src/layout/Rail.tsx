/** Left rail: which chatbot, its conversations and documents, and who is signed in. */
import { ActionIcon, Box, Divider, Group, Menu, Modal, Stack, Tabs, Text } from "@mantine/core";
import { IconDotsVertical, IconLogout, IconShieldLock, IconX } from "@tabler/icons-react";
import { useDisclosure } from "@mantine/hooks";
import { useState } from "react";

import type { Chatbot } from "../api/types";
import { useServices } from "../api/services";
import { Enrolment } from "../auth/Enrolment";
import type { SignedIn } from "../auth/session";
import { BotPicker } from "../bots/BotPicker";
import { SessionList } from "../bots/SessionList";
import { DocumentsPanel } from "../knowledge/DocumentsPanel";
import { Brand } from "./Brand";

interface Props {
  who: SignedIn;
  bots: Chatbot[];
  bot: Chatbot | undefined;
  session: string | null;
  /** On a narrow screen the rail covers the conversation: choosing something leaves it. */
  onLeave: () => void;
}

export function Rail({ who, bots, bot, session, onLeave }: Props) {
  const { auth } = useServices();
  const [factorOpen, factor] = useDisclosure(false);
  const [tab, setTab] = useState<string | null>("chats");

  return (
    <Stack h="100%" gap={0}>
      <Group justify="space-between" p="md" pb="sm">
        <Brand />
        <ActionIcon hiddenFrom="sm" variant="subtle" color="gray" size="lg" aria-label="Close the list" onClick={onLeave}>
          <IconX size={20} />
        </ActionIcon>
      </Group>
      <Box px="md" pb="xs">
        <BotPicker bots={bots} bot={bot} />
      </Box>
      {bot && (
        <Tabs value={tab} onChange={setTab} flex={1} mih={0} display="flex" style={{ flexDirection: "column" }}>
          <Tabs.List grow px="md">
            <Tabs.Tab value="chats" data-testid="tab-chats">
              Conversations
            </Tabs.Tab>
            <Tabs.Tab value="documents" data-testid="tab-documents">
              Documents
            </Tabs.Tab>
          </Tabs.List>
          <Tabs.Panel value="chats" flex={1} mih={0}>
            <SessionList key={bot.id} bot={bot} session={session} onChoose={onLeave} />
          </Tabs.Panel>
          <Tabs.Panel value="documents" flex={1} mih={0} keepMounted>
            <DocumentsPanel key={bot.id} bot={bot} />
          </Tabs.Panel>
        </Tabs>
      )}
      <Modal opened={factorOpen} onClose={factor.close} title="Second factor">
        <Enrolment onDone={factor.close} />
      </Modal>
      <Box mt="auto">
        <Divider />
        <Group p="sm" px="md" justify="space-between" wrap="nowrap">
          <Box miw={0}>
            <Text size="sm" fw={550} truncate data-testid="tenant-name">
              {who.tenant.name}
            </Text>
            <Text size="xs" c="dimmed" truncate>
              {who.user.email}
            </Text>
          </Box>
          <Menu position="top-end" withinPortal>
            <Menu.Target>
              <ActionIcon variant="subtle" color="gray" size="lg" aria-label="Account">
                <IconDotsVertical size={18} />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Label tt="capitalize">{who.tenant.plan} plan</Menu.Label>
              <Menu.Item leftSection={<IconShieldLock size={16} />} onClick={factor.open} data-testid="second-factor">
                Second factor
              </Menu.Item>
              <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => void auth.logout()} data-testid="sign-out">
                Sign out
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </Group>
      </Box>
    </Stack>
  );
}
