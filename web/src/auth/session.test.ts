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
