/** Who is signed in: the access token lives in memory only, the refresh token for as long as the tab. */
import { ApiError, errorFrom, unreachable } from "../api/errors";
import type { TokenGrant } from "../api/types";

const STORED = "loquent.refresh";
const EARLY_MS = 60_000;

export type SignedIn = Pick<TokenGrant, "user" | "tenant">;
export type AuthState = { status: "starting" | "out"; who: null } | { status: "in"; who: SignedIn };

type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export class AuthSession {
  private state: AuthState = { status: "starting", who: null };
  private access: { token: string; expiresAt: number } | null = null;
  private refreshing: Promise<string> | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private started = false;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly store: Store,
    private readonly http: typeof fetch = (input, init) => fetch(input, init),
  ) {}

  snapshot = (): AuthState => this.state;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Picks up where the tab was before a reload. */
  async start(): Promise<void> {
    if (this.started) return;
    this.started = true;
    if (!this.store.getItem(STORED)) return this.forget();
    try {
      await this.refresh();
    } catch {
      // A refused refresh has signed out already; without a server the sign-in page is the honest place to be.
      if (this.state.status === "starting") this.become({ status: "out", who: null });
    }
  }

  login = (email: string, password: string) => this.grant("/auth/login", { email, password });
  demo = () => this.grant("/auth/demo", {});
  register = (email: string, password: string, company: string) =>
    this.grant("/auth/register", { email, password, company });

  /** Joins with a mailed invitation; false where the account existed, whose owner signs in as always. */
  async accept(token: string, password: string): Promise<boolean> {
    const answer = await this.post("/invitations/accept", { token, password });
    const { grant } = JSON.parse(answer) as { grant: TokenGrant | null };
    if (grant) this.enter(grant);
    return grant !== null;
  }

  /** The same answer whether the address has an account or not. */
  forgot = (email: string) => this.post("/auth/password/forgot", { email });
  reset = (token: string, password: string) => this.post("/auth/password/reset", { token, password });
  verify = (token: string) => this.post("/auth/email/verify", { token });

  async logout(): Promise<void> {
    const refresh_token = this.store.getItem(STORED);
    this.forget();
    if (refresh_token) await this.post("/auth/logout", { refresh_token }).catch(() => undefined);
  }

  /** A token that is good for a while yet. */
  async token(): Promise<string> {
    if (this.access && this.access.expiresAt - Date.now() > 10_000) return this.access.token;
    return this.refresh();
  }

  /** A new token. Callers at the same time share one request, because a refresh token works once. */
  refresh(stale?: string): Promise<string> {
    if (stale && this.access && this.access.token !== stale) return Promise.resolve(this.access.token);
    this.refreshing ??= this.exchange().finally(() => {
      this.refreshing = null;
    });
    return this.refreshing;
  }

  private async exchange(): Promise<string> {
    const refresh_token = this.store.getItem(STORED);
    if (!refresh_token) {
      this.forget();
      throw new ApiError(401, "not_authenticated", "Please sign in again.");
    }
    try {
      return await this.grant("/auth/refresh", { refresh_token });
    } catch (reason) {
      if (reason instanceof ApiError && [400, 401, 403, 422].includes(reason.status)) this.forget();
      throw reason;
    }
  }

  private async grant(path: string, body: object): Promise<string> {
    return this.enter(JSON.parse(await this.post(path, body)) as TokenGrant);
  }

  private enter(grant: TokenGrant): string {
    this.access = { token: grant.access_token, expiresAt: Date.now() + grant.expires_in * 1_000 };
    this.store.setItem(STORED, grant.refresh_token);
    clearTimeout(this.timer);
    const wait = Math.max(grant.expires_in * 500, grant.expires_in * 1_000 - EARLY_MS);
    this.timer = setTimeout(() => void this.refresh().catch(() => undefined), Math.min(wait, 2 ** 31 - 1));
    this.become({ status: "in", who: { user: grant.user, tenant: grant.tenant } });
    return grant.access_token;
  }

  private async post(path: string, body: object): Promise<string> {
    let response: Response;
    let text: string;
    try {
      response = await this.http(path, {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json" },
        body: JSON.stringify(body),
      });
      text = await response.text();
    } catch {
      throw unreachable();
    }
    if (!response.ok) throw errorFrom(response.status, text);
    return text;
  }

  private forget(): void {
    this.access = null;
    this.store.removeItem(STORED);
    clearTimeout(this.timer);
    this.become({ status: "out", who: null });
  }

  private become(state: AuthState): void {
    // A silent refresh must not look like a change to the page.
    if (JSON.stringify(state) === JSON.stringify(this.state)) return;
    this.state = state;
    for (const listener of this.listeners) listener();
  }
}
