/** In place of a message that a reviewer took out of the conversation. */
import { Text } from "@mantine/core";

export function Withheld() {
  return (
    <Text c="dimmed" fs="italic" data-testid="withheld">
      This message was withheld.
    </Text>
  );
}
