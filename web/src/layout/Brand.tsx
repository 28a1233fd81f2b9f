/** The product's mark and name. */
import { Group, Text } from "@mantine/core";

export function Brand({ size = 26 }: { size?: number }) {
  return (
    <Group gap={10} wrap="nowrap">
      <img src="/favicon.svg" alt="" width={size} height={size} />
      <Text fw={650} fz={size * 0.66} lh={1} style={{ letterSpacing: "-0.01em" }}>
        Loquent
      </Text>
    </Group>
  );
}
