/** What a model is told, message by message. */
import { Code, Text } from "@mantine/core";

interface Props {
  messages: readonly { role: string; content: string }[];
}

export function PromptMessages({ messages }: Props) {
  return messages.map((message, place) => (
    <div key={place}>
      <Text size="xs" c="dimmed">
        {message.role}
      </Text>
      <Code block style={{ whiteSpace: "pre-wrap" }}>
        {message.content}
      </Code>
    </div>
  ));
}
