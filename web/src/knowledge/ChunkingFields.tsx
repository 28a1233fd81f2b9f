/** The settings by which documents are cut into passages. */
import { Group, NumberInput, Select, Stack, Switch } from "@mantine/core";

import type { ChunkingConfig } from "../api/types";

interface Props {
  chunking: ChunkingConfig;
  onChange: (chunking: ChunkingConfig) => void;
}

export function ChunkingFields({ chunking, onChange }: Props) {
  const set = (change: Partial<ChunkingConfig>) => {
    onChange({ ...chunking, ...change });
  };
  return (
    <Stack gap="xs">
      <Select
        label="Documents are cut"
        allowDeselect={false}
        data={[
          { value: "structure", label: "Between sentences and paragraphs" },
          { value: "fixed", label: "Into windows of equal length" },
        ]}
        value={chunking.strategy}
        onChange={(value) => {
          if (value === "structure" || value === "fixed") set({ strategy: value });
        }}
      />
      <Group grow>
        <NumberInput
          label="Longest passage, in tokens"
          min={32}
          max={8_192}
          allowDecimal={false}
          value={chunking.max_tokens}
          onChange={(value) => {
            if (typeof value === "number") set({ max_tokens: value });
          }}
        />
        <NumberInput
          label="Overlap, in tokens"
          min={0}
          max={Math.floor(chunking.max_tokens / 2)}
          allowDecimal={false}
          value={chunking.overlap_tokens}
          onChange={(value) => {
            if (typeof value === "number") set({ overlap_tokens: value });
          }}
        />
      </Group>
      <Switch
        label="Keep sections apart"
        checked={chunking.respect_sections}
        onChange={(event) => {
          set({ respect_sections: event.currentTarget.checked });
        }}
      />
      <Switch
        label="Keep pages apart"
        checked={chunking.respect_pages}
        onChange={(event) => {
          set({ respect_pages: event.currentTarget.checked });
        }}
      />
    </Stack>
  );
}
