/**
 * One chat session that survives its sockets.
 *
 * A question is sent again under its own id until it is acknowledged, an answer is resumed after the last event seen,
 * no event is delivered twice or out of order, and a turn that began elsewhere is followed like one of our own.
 */
import { refusal } from "./frames";
import type { AckFrame, ErrorFrame, QuestionFrame, ReadyFrame, ServerFrame, TurnFrame } from "./frames";
import { Line } from "./line";
import type { Listener, SocketLike, Tokens } from "./ports";
import { Turn } from "./turn";

/** Errors that end a stream of events but not the turn itself. */
const STREAM_LOST = new Set(["unavailable", "stale_epoch", "internal_error"]);

export class ChatClient {
  private turn: Turn | null = null;
  private readonly ended = new Set<string>();
  private readonly pending = new Map<string, QuestionFrame>();
  private readonly line: Line;

  constructor(
    url: string,
    tokens: Tokens,
    private readonly listener: Listener,
    open: (url: string) => SocketLike = (address) => new WebSocket(address) as SocketLike,
    random: () => number = Math.random,
  ) {
    const events = {
      resume: () => this.turn?.resume() ?? null,
      suits: (frame: ReadyFrame) => this.suits(frame),
      ready: (frame: ReadyFrame, away: boolean) => {
        this.onReady(frame, away);
      },
      frame: (frame: Exclude<ServerFrame, ReadyFrame>) => {
        this.onFrame(frame);
      },
      refused: () => {
        for (const id of this.pending.keys()) listener.frame(refusal(id));
        this.pending.clear();
      },
      state: listener.connection,
    };
    this.line = new Line(url, tokens, events, open, random);
  }

  start(): void {
    this.line.start();
  }

  close(): void {
    this.line.close();
  }

  wake(): void {
    this.line.wake();
  }

  /** Delivers a question exactly once, also when it is handed over again under the same id. */
  ask(question: QuestionFrame): void {
    this.pending.set(question.id, question);
    this.line.write(question);
  }

  stop(): void {
    this.line.write(this.turn ? { type: "stop", turn_id: this.turn.id } : { type: "stop" });
  }

  /** An answer may be written that this page does not follow: only a resume starts its events. */
  private suits(frame: ReadyFrame): boolean {
    const active = this.activeIn(frame);
    if (!active || active === this.turn?.id) return true;
    this.follow(active);
    return false;
  }

  /** The running turn; the server may not know yet that one has ended of which we have seen the end. */
  private activeIn(frame: ReadyFrame): string | null {
    const active = frame.active_turn?.turn_id ?? null;
    return active && !this.ended.has(active) ? active : null;
  }

  private onReady(frame: ReadyFrame, away: boolean): void {
    // A turn whose stream keeps breaking must not make the page come back ever faster.
    if (!this.turn) this.line.settle();
    this.listener.frame(frame);
    const receipt = frame.undelivered.at(-1);
    if (receipt || (away && !this.activeIn(frame))) void this.reload(receipt?.message_id);
    for (const question of this.pending.values()) this.line.write(question);
  }

  private onFrame(frame: Exclude<ServerFrame, ReadyFrame>): void {
    switch (frame.type) {
      case "ack":
        this.onAck(frame);
        return;
      case "error":
        this.onError(frame);
        return;
      case "pong":
      case "reconnect":
        return;
      default:
        this.onTurn(frame);
    }
  }

  private onAck(frame: AckFrame): void {
    this.pending.delete(frame.id);
    const known = this.turn?.id === frame.turn_id;
    if (!this.ended.has(frame.turn_id)) this.follow(frame.turn_id);
    this.listener.frame(frame);
    if (frame.duplicate && !known) void this.reload();
  }

  private onError(frame: ErrorFrame): void {
    const about = frame.turn_id;
    if (about && this.ended.has(about)) return;
    if (about && typeof frame.seq === "number") {
      this.finish(about);
      this.listener.frame(frame);
    } else if (frame.code === "turn_not_running") {
      void this.reload();
    } else if (frame.code === "not_found" && !frame.id) {
      // The turn asked for in `resume` is unknown; what is stored is all there is.
      if (about && about === this.turn?.id) this.turn = null;
      void this.reload();
    } else if (this.streamLost(frame)) {
      this.line.leave();
    } else {
      if (frame.id) this.pending.delete(frame.id);
      this.listener.frame(frame);
    }
  }

  /** Whether only the way to the events broke: the turn itself may go on. */
  private streamLost(frame: ErrorFrame): boolean {
    if (!this.turn) return false;
    if (frame.turn_id) return frame.turn_id === this.turn.id;
    return frame.id ? !this.pending.has(frame.id) : STREAM_LOST.has(frame.code);
  }

  private onTurn(frame: TurnFrame): void {
    if (this.ended.has(frame.turn_id)) return;
    const turn = this.follow(frame.turn_id);
    switch (turn.judge(frame)) {
      case "drop":
        return;
      case "missing":
        this.line.again();
        return;
      case "take":
        this.line.settle();
        if (frame.type === "done") this.finish(turn.id);
        this.listener.frame(frame);
        if (frame.type === "done") this.line.write({ type: "delivered", message_id: frame.message_id });
    }
  }

  /** Makes this the turn that is resumed. One turn runs at a time, so an earlier one has ended unseen. */
  private follow(id: string): Turn {
    if (this.turn?.id === id) return this.turn;
    if (this.turn) {
      this.finish(this.turn.id);
      void this.reload();
    }
    this.turn = new Turn(id);
    return this.turn;
  }

  private finish(id: string): void {
    this.ended.add(id);
    if (this.turn?.id === id) this.turn = null;
  }

  /** Fetches the stored messages, then says that they were shown up to `receipt`. */
  private async reload(receipt?: string): Promise<void> {
    try {
      await this.listener.reload();
    } catch {
      // The next `ready` names what was not shown again.
      return;
    }
    if (receipt) this.line.write({ type: "delivered", message_id: receipt });
  }
}
