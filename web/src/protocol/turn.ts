/** How far the events of one turn have been seen: each is taken once, in order, and never from a process left behind. */
import type { Resume, TurnFrame } from "./frames";

export type Verdict = "take" | "drop" | "missing";

export class Turn {
  private seq = 0;
  private epoch: number | undefined;
  private asked = -1;

  constructor(readonly id: string) {}

  /** `missing` once for each place where events were lost: whoever asked for them takes what comes then. */
  judge(frame: TurnFrame): Verdict {
    const epoch = this.epoch ?? frame.epoch;
    if (frame.epoch < epoch) return "drop";
    // After a takeover the text may have been cut back to what was kept.
    const corrects = frame.type === "gap" && frame.epoch > epoch;
    if (frame.seq <= this.seq && !corrects) return "drop";
    const first = frame.type === "token" ? (frame.first_seq ?? frame.seq) : frame.seq;
    if (frame.type !== "gap" && first !== this.seq + 1 && this.asked !== this.seq) {
      this.asked = this.seq;
      return "missing";
    }
    this.seq = frame.seq;
    this.epoch = frame.epoch;
    return "take";
  }

  resume(): Resume {
    const { id: turn_id, seq, epoch } = this;
    return epoch === undefined ? { turn_id, seq } : { turn_id, seq, epoch };
  }
}
