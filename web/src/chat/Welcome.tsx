/** What a conversation begins with. */
import { Text } from "@mantine/core";

export function Welcome({ greeting }: { greeting: string }) {
  return (
    <Text fz={22} fw={550} lh={1.35} className="greeting" data-testid="greeting">
      {greeting}
    </Text>
  );
}
