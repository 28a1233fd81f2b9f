/** One socket of a session: signs in when it opens, beats while it lives, and reports its end exactly once. */
import { parseFrame } from "./frames";
import type { ClientFrame, ServerFrame } from "./frames";
import type { SocketLike } from "./ports";

const HEARTBEAT_MS = 20_000;
const READY_DEADLINE_MS = 15_000;
const LOST = 1006;

export interface LinkEvents {
  /** What to sign in with, asked at the moment the socket opens. */
  auth(): ClientFrame;
  frame(link: Link, frame: ServerFrame): void;
  lost(link: Link, code: number, reason: string): void;
}

export class Link {
  private watch: ReturnType<typeof setTimeout> | undefined;
  private unanswered = false;

  constructor(
    private readonly socket: SocketLike,
    private readonly events: LinkEvents,
  ) {
    socket.onopen = () => {
      this.write(events.auth());
    };
    socket.onmessage = (event) => {
      this.unanswered = false;
      const frame = parseFrame(event.data);
      if (frame) events.frame(this, frame);
    };
    socket.onclose = (event) => {
      this.lose(event.code, event.reason ?? "");
    };
    this.watch = setTimeout(() => {
      this.lose(LOST, "");
    }, READY_DEADLINE_MS);
  }

  /** The server has said `ready`: from here on the heartbeat watches over the socket. */
  beat(): void {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => {
      this.ping(HEARTBEAT_MS);
    }, HEARTBEAT_MS);
  }

  /** Pings, and gives the socket up when nothing at all is heard in `patience` ms. */
  ping(patience: number): void {
    clearTimeout(this.watch);
    this.unanswered = true;
    this.write({ type: "ping", nonce: "" });
    this.watch = setTimeout(() => {
      if (this.unanswered) this.lose(LOST, "");
      else this.beat();
    }, patience);
  }

  write(frame: ClientFrame): void {
    this.socket.send(JSON.stringify(frame));
  }

  /** Forgets the socket at once, without a report: a dead connection may take minutes to notice its own close. */
  close(): void {
    clearTimeout(this.watch);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close(1000);
  }

  private lose(code: number, reason: string): void {
    this.close();
    this.events.lost(this, code, reason);
  }
}
