/** How a document is cut, by the bot's settings or by others that are tried here before they are kept. */
import { Button, Group, Loader, Paper, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { sentence } from "../api/errors";
import { showError, useServices } from "../api/services";
import type { Chatbot, ChunkPreview, ChunkingConfig, PreviewedChunk } from "../api/types";
import { place } from "../layout/words";
import { ChunkingFields } from "./ChunkingFields";
import { bars, parts } from "./preview";

export function ChunkPanel({ bot, document }: { bot: Chatbot; document: string }) {
  const { api } = useServices();
  const queries = useQueryClient();
  const [chunking, setChunking] = useState<ChunkingConfig>(bot.config.chunking);
  const [tried, setTried] = useState<ChunkingConfig>(bot.config.chunking);
  const same = (one: ChunkingConfig, other: ChunkingConfig) => JSON.stringify(one) === JSON.stringify(other);
  const preview = useQuery({
    queryKey: ["chunk-preview", bot.id, document, tried],
    queryFn: () => api.previewChunks(bot.id, document, tried),
    placeholderData: keepPreviousData,
    staleTime: Infinity,
    retry: false,
  });
  const keep = useMutation({
    mutationFn: () => api.saveChunking(bot.id, tried),
    onSuccess: (saved) => {
      queries.setQueryData<Chatbot[]>(["bots"], (bots) => bots?.map((item) => (item.id === saved.id ? saved : item)));
      void queries.invalidateQueries({ queryKey: ["documents", bot.id] });
      notifications.show({ color: "pine", message: "Kept: documents from now on are cut this way." });
    },
    onError: (reason) => {
      showError("The settings were not kept", reason);
    },
  });

  return (
    <Stack gap="md">
      <ChunkingFields chunking={chunking} onChange={setChunking} />
      <Group gap="xs">
        <Button
          size="xs"
          variant="light"
          loading={preview.isFetching}
          disabled={same(chunking, tried) && !preview.isError}
          onClick={() => {
            if (same(chunking, tried)) void preview.refetch();
            setTried(chunking);
          }}
          data-testid="try-chunking"
        >
          Try
        </Button>
        {!same(tried, bot.config.chunking) && preview.isSuccess && (
          <Button size="xs" variant="default" loading={keep.isPending} onClick={() => { keep.mutate(); }}>
            Keep for this chatbot
          </Button>
        )}
      </Group>
      {preview.isPending && <Loader size="sm" aria-label="Cutting the document" />}
      {preview.isError && (
        <Text size="sm" c="red" role="alert">
          {sentence(preview.error)}
        </Text>
      )}
      {preview.isSuccess && <Found preview={preview.data} />}
    </Stack>
  );
}

function Found({ preview }: { preview: ChunkPreview }) {
  const { total, tokens, characters, previewed, chunks } = preview;
  return (
    <>
      <div aria-live="polite" data-testid="chunk-summary">
        <Text size="sm">
          {total.toLocaleString()} {total === 1 ? "passage" : "passages"} of {tokens.min} to {tokens.max} tokens, half of
          them at most {Math.round(tokens.median)}; {tokens.total.toLocaleString()} tokens in all
        </Text>
        {previewed < characters && (
          <Text size="xs" c="dimmed">
            Of the first {previewed.toLocaleString()} of {characters.toLocaleString()} characters
          </Text>
        )}
      </div>
      <Stack component="ul" gap={4} p={0} m={0} style={{ listStyle: "none" }} aria-label="Passages by their tokens">
        {bars(preview).map((bar) => (
          <Group key={bar.label} component="li" gap="xs" wrap="nowrap">
            <Text size="xs" c="dimmed" w={110} flex="none">
              {bar.label}
            </Text>
            <div className="bar" aria-hidden style={{ width: `${String(bar.share * 55)}%` }} />
            <Text size="xs">{bar.chunks}</Text>
          </Group>
        ))}
      </Stack>
      <Stack component="ol" gap="xs" p={0} m={0} style={{ listStyle: "none" }} aria-label="Passages">
        {chunks.map((chunk) => (
          <ChunkRow key={chunk.ordinal} chunk={chunk} />
        ))}
      </Stack>
    </>
  );
}

function ChunkRow({ chunk }: { chunk: PreviewedChunk }) {
  const { repeated, fresh } = parts(chunk);
  const where = place(chunk);
  return (
    <Paper component="li" withBorder p="xs" data-testid="chunk">
      <Text size="xs" c="dimmed" mb={4}>
        {chunk.ordinal + 1} · {chunk.tokens} tokens{where && ` · ${where}`}
      </Text>
      <div className="passage" dir="auto">
        {repeated && (
          <span className="repeated" title="Also in the passage before">
            {repeated}
          </span>
        )}
        {fresh}
      </div>
    </Paper>
  );
}
