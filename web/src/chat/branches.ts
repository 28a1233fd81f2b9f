/** Where a question stands among the messages of the branch that is shown. */
import type { Message } from "../api/types";
import type { QuestionFrame } from "../protocol/frames";

/** The messages that stay above a question: all, or those before the message or the answer that it replaces. */
export function before(messages: Message[], question: QuestionFrame): Message[] {
  const end = replaced(messages, question);
  return end === -1 ? messages : messages.slice(0, end);
}

/** The branch with the question of a new turn as its end, as far as this page can know it. */
export function settled(messages: Message[], question: QuestionFrame, turnId: string, messageId: string): Message[] {
  const kept = before(messages, question);
  if (question.type === "regenerate") {
    // The question of the turn is shared: it goes over to the new one.
    return kept.map((message) =>
      message.turn_id === question.turn_id
        ? { ...message, turn_id: turnId, versions: [...message.versions, turnId] }
        : message,
    );
  }
  const edited = messages.find((message) => message.id === question.edits);
  const asked: Message = {
    id: messageId,
    turn_id: turnId,
    parent_turn_id: edited ? edited.parent_turn_id : (kept.at(-1)?.turn_id ?? null),
    versions: [...(edited?.versions ?? []), turnId],
    role: "user",
    content: question.text,
    state: "accepted",
    citations: [],
    usage: null,
    feedback: null,
    delivered_at: null,
    created_at: new Date().toISOString(),
    withheld: false,
  };
  return [...kept, asked];
}

/** Where the messages begin that a question replaces; -1 when it replaces none. */
function replaced(messages: Message[], question: QuestionFrame): number {
  if (question.type === "message") return messages.findIndex((message) => message.id === question.edits);
  const asked = messages.findIndex((message) => message.turn_id === question.turn_id && message.role === "user");
  return asked === -1 ? -1 : asked + 1;
}
