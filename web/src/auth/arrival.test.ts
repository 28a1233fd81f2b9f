import { describe, expect, it } from "vitest";

import { parseArrival } from "./arrival";

describe("arrival from an identity provider", () => {
  it("reads the code, or a sentence for the reason", () => {
    expect(parseArrival("#oidc=a-code_1")).toEqual({ code: "a-code_1" });
    expect(parseArrival("#sign-in-error=email_not_verified")).toEqual({
      error: "The identity provider has not verified your e-mail address.",
    });
  });

  it("leaves other addresses alone", () => {
    const id = "00000000-0000-4000-8000-000000000000";
    for (const hash of ["", "#", "#/", `#/${id}/${id}`, "#oidc=", "#linked=acme"]) expect(parseArrival(hash)).toBeNull();
  });

  it("never shows what an address says", () => {
    for (const said of ["<b>Call 555-0100</b>", "constructor", "__proto__", "toString"]) {
      expect(parseArrival(`#sign-in-error=${encodeURIComponent(said)}`)).toEqual({
        error: "That did not work. Please try again.",
      });
    }
  });
});
