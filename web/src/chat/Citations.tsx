/** Where an answer comes from, as numbered chips. */
import { Group, Text, UnstyledButton } from "@mantine/core";

import { place } from "../layout/words";
import type { Citation } from "../protocol/frames";

interface Props {
  citations: Citation[];
  onChoose: (citation: Citation) => void;
}

export function Citations({ citations, onChoose }: Props) {
  if (citations.length === 0) return null;
  return (
    <Group gap={8} mt="sm" role="group" aria-label="Sources">
      {citations.map((citation) => {
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
              onChoose(citation);
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
