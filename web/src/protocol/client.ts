/**
 * One chat session over a WebSocket that survives its sockets.
 *
 * A question is sent again under its own id until it is acknowledged, an answer is resumed after the last event seen,
 * and no event is delivered twice or out of order.
 */
import { backoffMs, closeAction } from "./backoff";
import { parseFrame, refusal } from "./frames";
import type { AckFrame, ClientFrame, ErrorFrame, ReadyFrame, Resume, ServerFrame, TurnFrame } from "./frames";
import type { Connection, Listener, SocketLike, Tokens } from "./ports";

const HEARTBEAT_MS = 20_000;
const READY_DEADLINE_MS = 15_000;
const PROBE_MS = 5_000;
const MOST_REFUSALS = 3;
/** Errors that end a stream of events but not the turn itself. */
const STREAM_LOST = new Set(["unavailable", "stale_epoch", "internal_error"]);

export class ChatClient {
  private socket: SocketLike | null = null;
  private token = "";
  private ready = false;
  private everReady = false;
  private closed = false;
  private attempt = 0;
  private refusals = 0;
  private generation = 0;
  private turn: Resume | null = null;
  private gap = "";
  private unanswered = false;
  private state: Connection = "connecting";
  private retry: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setTimeout> | undefined;
  private readonly ended = new Set<string>();
  private readonly pending = new Map<string, string>();

  constructor(
    private readonly url: string,
    private readonly tokens: Tokens,
    private readonly listener: Listener,
    private readonly open: (url: string) => SocketLike = (address) => new WebSocket(address) as SocketLike,
    private readonly random: () => number = Math.random,
  ) {}

  start(): void {
    void this.connect();
  }

  close(): void {
    this.closed = true;
    this.drop(1000);
  }

  /** Delivers a question exactly once; `id` is a UUID of the caller's. */
  send(id: string, text: string): void {
    this.pending.set(id, text);
    if (this.ready) this.write({ type: "message", id, text });
  }

  stop(): void {
    if (this.ready) this.write(this.turn ? { type: "stop", turn_id: this.turn.turn_id } : { type: "stop" });
  }

  /** Something changed outside (network, visibility, a click): connect now, or find out whether the socket lives. */
  wake(): void {
    if (this.closed || this.state === "gone" || this.state === "signed-out") return;
    if (this.ready) this.ping(PROBE_MS);
    else {
      // A handshake begun without a network may hang for long; a new one is cheap.
      this.drop(1000);
      void this.connect();
    }
  }

  private async connect(): Promise<void> {
    const generation = ++this.generation;
    try {
      this.token = await this.tokens.token();
    } catch {
      if (generation !== this.generation || this.closed) return;
      if (this.tokens.signedIn()) this.later();
      else this.become("signed-out");
      return;
    }
    if (generation !== this.generation || this.closed) return;
    const socket = this.open(this.url);
    this.socket = socket;
    socket.onopen = () => {
      this.write({ type: "auth", token: this.token, ...(this.turn ? { resume: { ...this.turn } } : {}) });
    };
    socket.onmessage = (event) => {
      const frame = parseFrame(event.data);
      this.unanswered = false;
      if (frame) this.receive(frame);
    };
    socket.onclose = (event) => {
      this.lost(event.code);
    };
    this.watch = setTimeout(() => {
      this.lost(1006);
    }, READY_DEADLINE_MS);
  }

  private lost(code: number): void {
    this.drop(1000);
    switch (closeAction(code)) {
      case "gone":
        this.become("gone");
        return;
      case "refresh":
        void this.renew();
        return;
      case "refused":
        for (const id of this.pending.keys()) this.listener.frame(refusal(id));
        this.pending.clear();
        this.later();
        return;
      case "reconnect":
        this.later();
    }
  }

  private async renew(): Promise<void> {
    this.refusals += 1;
    if (this.refusals > MOST_REFUSALS) {
      this.become("signed-out");
      return;
    }
    this.become(this.everReady ? "reconnecting" : "connecting");
    try {
      await this.tokens.refresh(this.token);
    } catch {
      if (this.closed) return;
      if (this.tokens.signedIn()) this.later();
      else this.become("signed-out");
      return;
    }
    if (!this.closed) void this.connect();
  }

  private later(): void {
    this.become("reconnecting");
    this.retry = setTimeout(() => void this.connect(), backoffMs(this.attempt, this.random));
    this.attempt += 1;
  }

  /** Forgets the socket at once: a dead connection may take minutes to report its own close. */
  private drop(code: number): void {
    clearTimeout(this.watch);
    clearTimeout(this.retry);
    this.generation += 1;
    this.ready = false;
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  private receive(frame: ServerFrame): void {
    switch (frame.type) {
      case "pong":
        return;
      case "ready":
        this.onReady(frame);
        return;
      case "ack":
        this.onAck(frame);
        return;
      case "error":
        this.onError(frame);
        return;
      default:
        this.onTurn(frame);
    }
  }

  private onReady(frame: ReadyFrame): void {
    const active = frame.active_turn;
    if (active && active.turn_id !== this.turn?.turn_id) {
      // An answer is being written that this page does not follow: only a resume starts its events.
      this.finish();
      this.turn = { turn_id: active.turn_id, seq: 0 };
      this.again();
      return;
    }
    const missed = this.everReady && !active;
    if (!active) this.finish();
    this.ready = this.everReady = true;
    this.attempt = this.refusals = 0;
    clearTimeout(this.watch);
    this.beat();
    this.become("online");
    this.listener.frame(frame);
    if (missed) this.listener.reload();
    for (const [id, text] of this.pending) this.write({ type: "message", id, text });
  }

  private onAck(frame: AckFrame): void {
    this.pending.delete(frame.id);
    const followed = this.turn?.turn_id === frame.turn_id;
    if (!frame.duplicate && !followed) this.turn = { turn_id: frame.turn_id, seq: 0 };
    this.listener.frame(frame);
    if (frame.duplicate && !followed) this.listener.reload();
  }

  private onError(frame: ErrorFrame): void {
    if (frame.turn_id && this.ended.has(frame.turn_id)) return;
    if (this.ready && this.turn && !frame.turn_id) {
      // About a question that was taken already, or about no question: the stream broke, the turn may go on.
      const lost = frame.id ? !this.pending.has(frame.id) : STREAM_LOST.has(frame.code);
      if (lost) {
        this.drop(1000);
        this.later();
        return;
      }
    }
    if (frame.code === "not_found" && !frame.id && !frame.turn_id) {
      // The turn asked for in `resume` is unknown; what is stored is all there is.
      if (this.ready) this.listener.reload();
      return;
    }
    if (frame.id) this.pending.delete(frame.id);
    if (frame.turn_id && frame.turn_id === this.turn?.turn_id) this.finish();
    // Before `ready` the close code that follows says what to do.
    if (this.ready) this.listener.frame(frame);
  }

  private onTurn(frame: TurnFrame): void {
    if (this.ended.has(frame.turn_id)) return;
    const first = frame.type === "token" ? (frame.first_seq ?? frame.seq) : frame.seq;
    if (!this.turn && first === 1) this.turn = { turn_id: frame.turn_id, seq: 0 };
    const turn = this.turn;
    if (turn?.turn_id !== frame.turn_id || frame.seq <= turn.seq) return;
    if (first > turn.seq + 1) {
      // Something was lost: ask for it once. If the server has it no more, go on with what there is.
      const gap = `${turn.turn_id}/${String(turn.seq)}`;
      if (this.gap !== gap) {
        this.gap = gap;
        this.again();
        return;
      }
    }
    turn.seq = frame.seq;
    if (frame.type === "done") this.finish();
    this.listener.frame(frame);
  }

  private again(): void {
    this.drop(1000);
    this.become(this.everReady ? "reconnecting" : "connecting");
    void this.connect();
  }

  private finish(): void {
    if (this.turn) this.ended.add(this.turn.turn_id);
    this.turn = null;
  }

  private beat(): void {
    this.watch = setTimeout(() => {
      this.ping(HEARTBEAT_MS);
    }, HEARTBEAT_MS);
  }

  /** Pings, and gives the connection up when nothing at all is heard in `patience` ms. */
  private ping(patience: number): void {
    clearTimeout(this.watch);
    this.unanswered = true;
    this.write({ type: "ping", nonce: "" });
    this.watch = setTimeout(() => {
      if (this.unanswered) this.lost(1006);
      else this.beat();
    }, patience);
  }

  private write(frame: ClientFrame): void {
    this.socket?.send(JSON.stringify(frame));
  }

  private become(state: Connection): void {
    if (state === this.state) return;
    this.state = state;
    this.listener.connection(state);
  }
}
