import { describe, expect, it } from "vitest";

import type { TurnFrame } from "./frames";
import { TURN, gap, token } from "./rig";
import { Turn } from "./turn";

/** The verdict on each frame, and where the turn stands in the end. */
function judge(...frames: unknown[]) {
  const turn = new Turn(TURN);
  return [frames.map((frame) => turn.judge(frame as TurnFrame)), turn.resume()];
}
const at = (seq: number, epoch: number) => ({ turn_id: TURN, seq, epoch });

describe("the events of a turn", () => {
  it("are taken once and in order", () => {
    expect(judge(token(1, "a"), token(1, "a"), token(2, "b"), token(1, "a"))).toEqual([
      ["take", "drop", "take", "drop"],
      at(2, 1),
    ]);
  });

  it("may come several in one frame", () => {
    expect(judge(token(1, "a"), { ...token(4, "bcd"), first_seq: 2 }, token(5, "e"))).toEqual([
      ["take", "take", "take"],
      at(5, 1),
    ]);
  });

  it("are missed where a number is left out, once for each place", () => {
    expect(judge(token(1, "a"), token(3, "c"), token(3, "c"), token(5, "e"))).toEqual([
      ["take", "missing", "take", "missing"],
      at(3, 1),
    ]);
  });

  it("are asked for again when a frame begins with some that were seen", () => {
    expect(judge(token(1, "a"), token(2, "b"), { ...token(4, "bcd"), first_seq: 2 })).toEqual([
      ["take", "take", "missing"],
      at(2, 1),
    ]);
  });

  it("go on in a higher epoch, and the process left behind is not heard any more", () => {
    expect(judge(token(1, "a"), token(2, "b", TURN, 2), token(3, "x", TURN, 1), token(3, "c", TURN, 2))).toEqual([
      ["take", "take", "drop", "take"],
      at(3, 2),
    ]);
  });

  it("are replaced by a gap, at any distance", () => {
    expect(judge(gap(9, "so far"), token(10, "!"))).toEqual([["take", "take"], at(10, 1)]);
  });

  it("are cut back by the gap of a higher epoch, and by no other", () => {
    expect(judge(token(1, "a"), token(2, "b"), gap(2, "ab"), gap(1, "a", 2), token(2, "c", TURN, 2))).toEqual([
      ["take", "take", "drop", "take", "take"],
      at(2, 2),
    ]);
  });

  it("leave the epoch out of a resume before the first", () => {
    expect(judge()).toEqual([[], { turn_id: TURN, seq: 0 }]);
  });
});
