/** Who is signed in: the access token lives in memory only, the refresh token for as long as the tab. */
import { ApiError, errorFrom, sentence, unreachable } from "../api/errors";
import type { IdentityProvider, MfaChallenge, TokenGrant } from "../api/types";
import type { Arrival } from "./arrival";

const STORED = "loquent.refresh";
const EARLY_MS = 60_000;

export type SignedIn = Pick<TokenGrant, "user" | "tenant">;
/** `challenge` waits for a second factor; `error` is why somebody who came from an identity provider is not in. */
export type AuthState =
  | { status: "starting"; who: null }
  | { status: "out"; who: null; challenge?: string; error?: string }
  | { status: "in"; who: SignedIn };

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

  /** Picks up where the tab was before a reload, or comes in from an identity provider. */
  async start(arrival: Arrival | null = null): Promise<void> {
    if (this.started) return;
    this.started = true;
    const error = arrival ? await this.arrive(arrival) : undefined;
    if (this.state.status !== "starting") return;
    // An address that somebody made up ends no sign-in: its error counts only where there is none.
    if (!this.store.getItem(STORED)) {
      this.become({ status: "out", who: null, ...(error && { error }) });
      return;
    }
    try {
      await this.refresh();
    } catch {
      // A refused refresh has signed out already; without a server the sign-in page is the honest place to be.
      if (this.state.status === "starting") this.become({ status: "out", who: null });
    }
  }

  login = (email: string, password: string) => this.firstFactor("/auth/login", { email, password });
  /** `proof` is six digits of the app, or a recovery code. */
  verify = (challenge: string, proof: string) => {
    const code = proof.replace(/\s/g, "");
    return this.grant("/auth/mfa/verify", {
      challenge,
      ...(/^[0-9]{6}$/.test(code) ? { code } : { recovery_code: proof.trim() }),
    });
  };
  demo = () => this.grant("/auth/demo", {});
  register = (email: string, password: string, company: string) =>
    this.grant("/auth/register", { email, password, company });

  /** Joins with a mailed invitation; false where the account existed, whose owner signs in as always. */
  async accept(token: string, password: string): Promise<boolean> {
    const answer = await this.post("/invitations/accept", { token, password });
    const { grant } = JSON.parse(answer) as { grant: TokenGrant | null };
    if (grant) this.take(grant);
    return grant !== null;
  }

  /** The same answer whether the address has an account or not. */
  forgot = (email: string) => this.post("/auth/password/forgot", { email });
  reset = (token: string, password: string) => this.post("/auth/password/reset", { token, password });
  verifyEmail = (token: string) => this.post("/auth/email/verify", { token });

  /** Gives up a log-in that waits for its second factor. */
  leaveChallenge = () => {
    this.become({ status: "out", who: null });
  };

  /** The identity providers to sign in with; none when the server does not say. */
  async providers(): Promise<IdentityProvider[]> {
    try {
      const answer = await this.http("/auth/oidc", { headers: { accept: "application/json" } });
      return answer.ok ? ((await answer.json()) as { items: IdentityProvider[] }).items : [];
    } catch {
      return [];
    }
  }

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

  /** Why it did not work, if so. */
  private async arrive(arrival: Arrival): Promise<string | undefined> {
    if ("error" in arrival) return arrival.error;
    try {
      await this.firstFactor("/auth/oidc/finish", { code: arrival.code });
      return undefined;
    } catch (reason) {
      return sentence(reason);
    }
  }

  private async firstFactor(path: string, body: object): Promise<void> {
    const answer = JSON.parse(await this.post(path, body)) as TokenGrant | MfaChallenge;
    if ("mfa_required" in answer) this.become({ status: "out", who: null, challenge: answer.challenge });
    else this.take(answer);
  }

  private async grant(path: string, body: object): Promise<string> {
    return this.take(JSON.parse(await this.post(path, body)) as TokenGrant);
  }

  /** Goes on with the tokens of another answer. */
  adopt = (grant: TokenGrant) => {
    this.take(grant);
  };

  private take(grant: TokenGrant): string {
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
