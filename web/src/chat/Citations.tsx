/** Where an answer comes from, as numbered chips. */
import { Group, Text, UnstyledButton } from "@mantine/core";

import { place } from "../layout/words";
import type { Citation } from "../protocol/frames";
import type { Sources } from "./reading";

interface Props {
  citations: Citation[];
  /** The answer's id; null while it is being written. */
  message: string | null;
  onChoose: (sources: Sources) => void;
}

export function Citations({ citations, message, onChoose }: Props) {
  if (citations.length === 0) return null;
  return (
    <Group gap={8} mt="sm" role="group" aria-label="Sources">
      {citations.map((citation, index) => {
        const where = place(citation);
        // The chip is small: a page says enough, the drawer names both.
        const shortly = citation.page === null ? where : place({ page: citation.page, section: null });
        return (
          <UnstyledButton
            key={citation.position}
            className="chip"
            title={citation.snippet}
            aria-label={`Source ${String(citation.position)}: ${citation.document_name}${where ? `, ${where}` : ""}`}
            onClick={() => {
              onChoose({ citations, index, message });
            }}
            data-testid="citation"
          >
            <span className="chip-number">{citation.position}</span>
            <Text span size="xs" fw={550} truncate>
              {citation.document_name}
            </Text>
            {shortly && (
              <Text span size="xs" c="dimmed" truncate className="chip-place">
                {shortly}
              </Text>
            )}
          </UnstyledButton>
        );
      })}
    </Group>
  );
}
