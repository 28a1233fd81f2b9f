/** What a reader can do with the messages of a conversation. */
import type { Feedback } from "../api/types";
import type { QuestionFrame } from "../protocol/frames";
import type { Sources } from "./reading";

export interface MessageActions {
  openSource: (sources: Sources) => void;
  /** Asks `text` in place of a question. */
  edit: (messageId: string, text: string) => void;
  /** Answers the question of a turn again. */
  regenerate: (turnId: string) => void;
  /** Sends a question that did not get through once more. */
  repeat: (question: QuestionFrame) => void;
  /** Forgets a question that did not get through. */
  discard: (id: string) => void;
  /** Shows the branch of another version. */
  choose: (turnId: string) => Promise<void>;
  /** Shows how an answer came about. */
  explain: (messageId: string) => void;
  rate: (messageId: string, feedback: Feedback | null) => Promise<void>;
}
