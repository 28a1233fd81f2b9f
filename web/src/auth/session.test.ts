import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { AuthSession } from "./session";

const grant = (n: number) => ({
  access_token: `access-${String(n)}`,
  refresh_token: `refresh-${String(n)}`,
  token_type: "bearer",
  expires_in: 900,
  user: { id: "u", email: "ada@example.org" },
  tenant: { id: "t", name: "Example", plan: "free" },
});

function setUp(first: Record<string, string> = {}) {
  const kept = new Map(Object.entries(first));
  const store = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  };
  let count = 0;
  const http = vi.fn<typeof fetch>(() => {
    count += 1;
    return Promise.resolve(Response.json(grant(count)));
  });
  return { kept, http, auth: new AuthSession(store, http) };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("auth session", () => {
  it("keeps only the refresh token, and renews the access token before it expires", async () => {
    const { auth, kept, http } = setUp();
    await auth.login("ada@example.org", "secret");
    expect([...kept.values()]).toEqual(["refresh-1"]);
    expect(await auth.token()).toBe("access-1");
    await vi.advanceTimersByTimeAsync(841_000);
    expect(http).toHaveBeenCalledTimes(2);
    expect(await auth.token()).toBe("access-2");
  });

  it("makes one refresh for callers at the same time, and none for a token replaced already", async () => {
    const { auth, http } = setUp({ "loquent.refresh": "old" });
    const tokens = await Promise.all([auth.token(), auth.refresh(), auth.token()]);
    expect(tokens).toEqual(["access-1", "access-1", "access-1"]);
    expect(await auth.refresh("an-older-one")).toBe("access-1");
    expect(http).toHaveBeenCalledTimes(1);
  });

  it("asks for the second factor where the log-in wants one, and keeps nothing before it is shown", async () => {
    const { auth, http, kept } = setUp();
    http.mockResolvedValueOnce(Response.json({ mfa_required: true, challenge: "c", expires_in: 300 }));
    await auth.login("ada@example.org", "secret");
    expect(auth.snapshot()).toEqual({ status: "out", who: null, challenge: "c" });
    expect(kept.size).toBe(0);
    http.mockResolvedValueOnce(Response.json({ error: { code: "wrong_code", message: "Wrong." } }, { status: 403 }));
    await expect(auth.verify("c", "000000")).rejects.toMatchObject({ code: "wrong_code" });
    expect(auth.snapshot()).toMatchObject({ challenge: "c" });
    await auth.verify("c", "123 456");
    expect(auth.snapshot().status).toBe("in");
    expect(kept.get("loquent.refresh")).toBe("refresh-1");
  });

  it("sends six digits as a code and anything else as a recovery code", async () => {
    const { auth, http } = setUp();
    await auth.verify("c", " 123 456 ");
    await auth.verify("c", " abcd-efgh-ijkl-mnop ");
    expect(http.mock.calls.map(([, init]) => JSON.parse(init?.body as string) as unknown)).toEqual([
      { challenge: "c", code: "123456" },
      { challenge: "c", recovery_code: "abcd-efgh-ijkl-mnop" },
    ]);
  });

  it("begins again after a challenge was left", async () => {
    const { auth, http } = setUp();
    http.mockResolvedValueOnce(Response.json({ mfa_required: true, challenge: "c", expires_in: 300 }));
    await auth.login("ada@example.org", "secret");
    auth.leaveChallenge();
    expect(auth.snapshot()).toEqual({ status: "out", who: null });
  });

  it("exchanges the code of an identity provider once, in place of an older sign-in", async () => {
    const { auth, http, kept } = setUp({ "loquent.refresh": "old" });
    await Promise.all([auth.start({ code: "one" }), auth.start({ code: "one" })]);
    expect(http.mock.calls.map(([path]) => path)).toEqual(["/auth/oidc/finish"]);
    expect(kept.get("loquent.refresh")).toBe("refresh-1");
    expect(auth.snapshot().status).toBe("in");
  });

  it("says why an identity provider's code or answer did not count", async () => {
    const refused = setUp();
    refused.http.mockResolvedValueOnce(
      Response.json({ error: { code: "not_authenticated", message: "Expired." } }, { status: 401 }),
    );
    await refused.auth.start({ code: "stale" });
    expect(refused.auth.snapshot()).toEqual({ status: "out", who: null, error: "Expired." });
    const told = setUp();
    await told.auth.start({ error: "No." });
    expect(told.auth.snapshot()).toEqual({ status: "out", who: null, error: "No." });
    expect(told.http).not.toHaveBeenCalled();
  });

  it("keeps a sign-in that somebody's made-up address comes to", async () => {
    const refused = setUp({ "loquent.refresh": "old" });
    refused.http.mockResolvedValueOnce(new Response("", { status: 401 }));
    await refused.auth.start({ code: "made up" });
    expect(refused.auth.snapshot().status).toBe("in");
    const told = setUp({ "loquent.refresh": "old" });
    await told.auth.start({ error: "No." });
    expect(told.auth.snapshot().status).toBe("in");
  });

  it("shows no provider when the server does not say", async () => {
    const { auth, http } = setUp();
    http.mockResolvedValueOnce(Response.json({ items: [{ name: "acme", label: "Acme" }] }));
    expect(await auth.providers()).toEqual([{ name: "acme", label: "Acme" }]);
    http.mockResolvedValueOnce(new Response("<html>", { status: 200 }));
    expect(await auth.providers()).toEqual([]);
    http.mockResolvedValueOnce(new Response("", { status: 503 }));
    expect(await auth.providers()).toEqual([]);
  });

  it("signs out when the refresh token is refused, and not when the server is away", async () => {
    const { auth, http, kept } = setUp({ "loquent.refresh": "old" });
    http.mockRejectedValueOnce(new TypeError("network"));
    await expect(auth.token()).rejects.toMatchObject({ code: "unreachable" });
    expect(kept.size).toBe(1);
    http.mockResolvedValueOnce(new Response("<html>gateway</html>", { status: 401 }));
    await expect(auth.token()).rejects.toMatchObject({ message: "Please sign in again." });
    expect(kept.size).toBe(0);
    expect(auth.snapshot().status).toBe("out");
  });
});
