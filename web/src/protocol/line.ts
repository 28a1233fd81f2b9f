/** Keeps one signed-in socket to the server: reconnects with jitter, renews tokens, and moves over when asked to. */
import { backoffMs, closeAction, retryAfterMs } from "./backoff";
import type { ClientFrame, ReadyFrame, Resume, ServerFrame } from "./frames";
import { Link } from "./link";
import type { Connection, SocketLike, Tokens } from "./ports";

const PROBE_MS = 5_000;
const MOST_REFUSALS = 3;

export interface LineEvents {
  /** Where to resume, asked at the moment a socket opens. */
  resume(): Resume | null;
  /** False when what `ready` announces can only be had by signing in once more, to resume it. */
  suits(frame: ReadyFrame): boolean;
  /** `away`: there was a time without a socket before this one. */
  ready(frame: ReadyFrame, away: boolean): void;
  frame(frame: Exclude<ServerFrame, ReadyFrame>): void;
  /** The server closed because of something that was sent. */
  refused(): void;
  state(state: Connection): void;
}

export class Line {
  /** The socket that is ready, and the one that signs in; both exist while the server hands us over. */
  private current: Link | null = null;
  private fresh: Link | null = null;
  private token = "";
  private everReady = false;
  private closed = false;
  private attempt = 0;
  private refusals = 0;
  private generation = 0;
  private state: Connection = "connecting";
  private retry: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly url: string,
    private readonly tokens: Tokens,
    private readonly events: LineEvents,
    private readonly open: (url: string) => SocketLike,
    private readonly random: () => number,
  ) {}

  start(): void {
    void this.connect();
  }

  close(): void {
    this.closed = true;
    this.drop();
  }

  /** Sends now or never: without a ready socket the frame is lost. */
  write(frame: ClientFrame): void {
    this.current?.write(frame);
  }

  /** Something changed outside (network, visibility, a click): connect now, or find out whether the socket lives. */
  wake(): void {
    if (this.closed || this.state === "gone" || this.state === "signed-out") return;
    if (this.current) this.current.ping(PROBE_MS);
    else {
      // A handshake begun without a network may hang for long; a new one is cheap.
      this.drop();
      void this.connect();
    }
  }

  /** Signs in again now, to resume. */
  again(): void {
    this.drop();
    this.waiting();
    void this.connect();
  }

  /** Signs in again after a wait, because this socket's events broke off. */
  leave(): void {
    this.drop();
    this.later();
  }

  /** All is well: the next loss is the first one again. */
  settle(): void {
    this.attempt = 0;
  }

  private async connect(): Promise<void> {
    const generation = ++this.generation;
    try {
      this.token = await this.tokens.token();
    } catch {
      if (this.valid(generation)) this.withoutToken();
      return;
    }
    if (!this.valid(generation)) return;
    this.fresh = new Link(this.open(this.url), {
      auth: () => {
        const resume = this.events.resume();
        return { type: "auth", token: this.token, ...(resume ? { resume } : {}) };
      },
      frame: (link, frame) => {
        this.receive(link, frame);
      },
      lost: (link, code, reason) => {
        this.lost(link, code, reason);
      },
    });
  }

  private valid(generation: number): boolean {
    return !this.closed && generation === this.generation;
  }

  private receive(link: Link, frame: ServerFrame): void {
    if (frame.type === "ready") this.accept(link, frame);
    // Before `ready` the close code that follows says what to do.
    else if (link !== this.current) return;
    else if (frame.type === "reconnect") this.moveOver(frame.within_seconds);
    else this.events.frame(frame);
  }

  private accept(link: Link, frame: ReadyFrame): void {
    if (!this.events.suits(frame)) {
      this.again();
      return;
    }
    const away = this.everReady && !this.current;
    this.current?.close();
    this.current = link;
    this.fresh = null;
    this.everReady = true;
    this.refusals = 0;
    link.beat();
    this.become("online");
    this.events.ready(frame, away);
  }

  /** The old socket serves until the new one is ready: nobody has to wait. */
  private moveOver(withinSeconds: number): void {
    if (this.fresh) return;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.connect(), withinSeconds * 1_000 * this.random());
  }

  private lost(link: Link, code: number, reason: string): void {
    if (link === this.current) {
      this.current = null;
      if (this.fresh) {
        // Its successor is signing in already.
        this.become("reconnecting");
        return;
      }
    }
    this.abandon();
    switch (closeAction(code)) {
      case "gone":
        this.end("gone");
        return;
      case "refresh":
        void this.renew();
        return;
      case "refused":
        this.events.refused();
        this.later();
        return;
      case "reconnect":
        this.later(retryAfterMs(reason));
    }
  }

  private async renew(): Promise<void> {
    this.refusals += 1;
    if (this.refusals > MOST_REFUSALS) {
      this.end("signed-out");
      return;
    }
    this.waiting();
    const { generation } = this;
    try {
      await this.tokens.refresh(this.token);
    } catch {
      if (this.valid(generation)) this.withoutToken();
      return;
    }
    if (this.valid(generation)) void this.connect();
  }

  private withoutToken(): void {
    if (this.tokens.signedIn()) this.later();
    else this.end("signed-out");
  }

  /** Connects again after a wait that grows with every attempt, and after `least` ms at the soonest. */
  private later(least = 0): void {
    if (!this.current) this.become("reconnecting");
    this.retry = setTimeout(() => void this.connect(), least + backoffMs(this.attempt, this.random));
    this.attempt += 1;
  }

  private waiting(): void {
    if (!this.current) this.become(this.everReady ? "reconnecting" : "connecting");
  }

  private end(state: Connection): void {
    this.drop();
    this.become(state);
  }

  /** Gives up every attempt to connect, not the socket that is ready. */
  private abandon(): void {
    clearTimeout(this.retry);
    this.generation += 1;
    this.fresh?.close();
    this.fresh = null;
  }

  private drop(): void {
    this.abandon();
    this.current?.close();
    this.current = null;
  }

  private become(state: Connection): void {
    if (state === this.state) return;
    this.state = state;
    this.events.state(state);
  }
}
