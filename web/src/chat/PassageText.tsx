/** The text of a passage: what is cited is marked, and more of the document is read on request. */
import { Button, Loader, Stack, Text } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useCallback, useState } from "react";

import { sentence } from "../api/errors";
import { showError, useServices } from "../api/services";
import type { Citation } from "../protocol/frames";
import { earlier, extended, later, opened } from "./reading";
import type { Piece, Reading } from "./reading";

interface Props {
  bot: string;
  session: string;
  message: string | null;
  citation: Citation;
}

export function PassageText({ bot, session, message, citation }: Props) {
  const { api } = useServices();
  const { document_id, start, end, snippet, position } = citation;
  const passage = useQuery({
    queryKey: ["passage", message, document_id, start, end],
    queryFn: ({ signal }) =>
      // While the answer is being written it has no address yet; afterwards the server looks where the passage is now.
      message === null
        ? api.passage(bot, document_id, start, end, signal)
        : api.citation(bot, session, message, position, signal),
  });

  if (passage.isPending) return <Loader size="sm" aria-label="Loading the passage" />;
  if (passage.isError) {
    return (
      <Stack align="flex-start">
        <Text size="sm" c="red" role="alert">
          {sentence(passage.error)}
        </Text>
        <Button size="xs" variant="light" onClick={() => void passage.refetch()}>
          Try again
        </Button>
        <Text size="xs" c="dimmed">
          The answer quoted:
        </Text>
        <div className="passage">{snippet}</div>
      </Stack>
    );
  }
  return <Surroundings bot={bot} document={document_id} first={opened(passage.data)} />;
}

function Surroundings({ bot, document, first }: { bot: string; document: string; first: Reading }) {
  const { api } = useServices();
  const [reading, setReading] = useState(first);
  const read = useMutation({
    mutationFn: (piece: Piece) => api.text(bot, document, piece.start, piece.limit),
    onSuccess: (piece) => {
      setReading((known) => extended(known, piece));
    },
    onError: (reason) => {
      showError("The document could not be read further", reason);
    },
  });
  // The mark takes the focus, so that a screen reader begins with what is cited.
  const showMark = useCallback((mark: HTMLElement | null) => {
    mark?.scrollIntoView({ block: "center" });
    mark?.focus({ preventScroll: true });
  }, []);

  return (
    <Stack gap="xs" align="stretch">
      <More label="Show earlier text" piece={earlier(reading)} busy={read.isPending} onRead={read.mutate} />
      <div className="passage" dir="auto" data-testid="passage">
        <span className="around">{reading.before}</span>
        <mark ref={showMark} tabIndex={-1} data-testid="passage-mark">
          {reading.text}
        </mark>
        <span className="around">{reading.after}</span>
      </div>
      <More label="Show later text" piece={later(reading)} busy={read.isPending} onRead={read.mutate} />
    </Stack>
  );
}

interface MoreProps {
  label: string;
  piece: Piece | null;
  busy: boolean;
  onRead: (piece: Piece) => void;
}

function More({ label, piece, busy, onRead }: MoreProps) {
  if (!piece) return null;
  return (
    <Button
      size="compact-sm"
      variant="subtle"
      color="gray"
      loading={busy}
      onClick={() => {
        onRead(piece);
      }}
    >
      {label}
    </Button>
  );
}
