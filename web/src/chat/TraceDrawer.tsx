/** How an answer came about: where it is from, why, what it cost, and what was done when. */
import { Button, Drawer, Group, Loader, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import type { Trace } from "../api/types";
import { PromptMessages } from "./PromptMessages";
import { callName, callUse, money, origin, passages, stageBars, why } from "./trace";

interface Props {
  bot: string;
  session: string;
  /** The answer's id; null before the first one was opened. */
  message: string | null;
  opened: boolean;
  onClose: () => void;
}

export function TraceDrawer({ bot, session, message, opened, onClose }: Props) {
  return (
    <Drawer
      opened={opened}
      onClose={onClose}
      position="right"
      size="lg"
      title={<Text fw={600}>How this answer came about</Text>}
      closeButtonProps={{ "aria-label": "Close the details" }}
    >
      {message !== null && <Loaded key={message} bot={bot} session={session} message={message} />}
    </Drawer>
  );
}

function Loaded({ bot, session, message }: { bot: string; session: string; message: string }) {
  const { api } = useServices();
  const trace = useQuery({
    queryKey: ["trace", message],
    queryFn: ({ signal }) => api.trace(bot, session, message, signal),
  });
  if (trace.isPending) return <Loader size="sm" aria-label="Loading the details" />;
  if (trace.isError) {
    return (
      <Stack align="flex-start">
        <Text size="sm" c="red" role="alert">
          {sentence(trace.error)}
        </Text>
        <Button size="xs" variant="light" onClick={() => void trace.refetch()}>
          Try again
        </Button>
      </Stack>
    );
  }
  return <Details trace={trace.data} />;
}

function Details({ trace }: { trace: Trace }) {
  const found = passages(trace);
  return (
    <Stack gap="lg" data-testid="trace">
      <Stack gap={6}>
        <Line label="From">
          <span data-testid="trace-origin">{origin(trace)}</span>
        </Line>
        {why(trace) !== null && <Line label="Why">{why(trace)}</Line>}
        <Line label="Cost">
          <span data-testid="trace-cost">{money(trace.cost_micro)}</span>
        </Line>
        {found !== null && <Line label="Passages">{found}</Line>}
      </Stack>
      {trace.calls.length > 0 && (
        <Section title="Calls of models">
          <Table fz="sm" data-testid="trace-calls">
            <Table.Tbody>
              {trace.calls.map((call, place) => (
                <Table.Tr key={place}>
                  <Table.Td>{callName(call)}</Table.Td>
                  <Table.Td>{[call.model, call.engine].filter(Boolean).join(" · ")}</Table.Td>
                  <Table.Td>{callUse(call)}</Table.Td>
                  <Table.Td ta="end">{money(call.cost_micro)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Section>
      )}
      <Section title="Time">
        <Stack gap={4}>
          {stageBars(trace).map((stage, place) => (
            <Group key={place} gap="sm" wrap="nowrap">
              <Text size="sm" w={170} style={{ flex: "none" }}>
                {stage.name}
              </Text>
              <div style={{ flex: 1 }} aria-hidden>
                <div className="bar" style={{ marginLeft: `min(${String(stage.left)}%, 100% - 2px)`, width: `${String(stage.width)}%` }} />
              </div>
              <Text size="sm" c="dimmed" w={64} ta="end" style={{ flex: "none" }}>
                {stage.time}
              </Text>
            </Group>
          ))}
        </Stack>
      </Section>
      {trace.messages !== null && trace.messages.length > 0 && (
        <Section title="Prompt">
          <PromptMessages messages={trace.messages} />
        </Section>
      )}
      {trace.cut && (
        <Text size="xs" c="dimmed">
          It was too long to be kept whole.
        </Text>
      )}
    </Stack>
  );
}

function Line({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Group gap="sm" align="flex-start" wrap="nowrap">
      <Text size="sm" c="dimmed" w={80} style={{ flex: "none" }}>
        {label}
      </Text>
      <Text size="sm" style={{ overflowWrap: "anywhere" }}>
        {children}
      </Text>
    </Group>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section>
      <Title order={3} fz="sm" mb={6}>
        {title}
      </Title>
      {children}
    </section>
  );
}
