/** What did not work, and the way to try it again. */
import { Button, Group, Text } from "@mantine/core";

interface Props {
  message: string;
  /** Left out where trying again is not possible. */
  onRetry?: (() => void) | undefined;
  onDiscard?: () => void;
}

export function Failure({ message, onRetry, onDiscard }: Props) {
  return (
    <Group gap="sm" role="alert" data-testid="failure">
      <Text size="sm" c="red">
        {message}
      </Text>
      {onRetry && (
        <Button size="compact-sm" variant="light" color="red" onClick={onRetry} data-testid="try-again">
          Try again
        </Button>
      )}
      {onDiscard && (
        <Button size="compact-sm" variant="subtle" color="gray" onClick={onDiscard}>
          Discard
        </Button>
      )}
    </Group>
  );
}
