/** Somebody who comes back from an identity provider: the address carries a one-time code, or why there is none. */

export type Arrival = { code: string } | { error: string };

const SENTENCES: Record<string, string> = {
  account_not_linked: "There is an account with your e-mail address. Sign in with its password.",
  already_exists: "Your account does not belong to a company any more.",
  email_not_allowed: "People of your e-mail address may not sign in this way.",
  email_not_verified: "The identity provider has not verified your e-mail address.",
  not_authenticated: "Your account does not belong to a company any more.",
  provider_refused: "The identity provider did not sign you in.",
  sign_in_expired: "That took too long, or was begun in another browser. Please try again.",
  unavailable: "The identity provider does not answer. Please try again.",
};
const OTHERWISE = "That did not work. Please try again.";

/** What the fragment says; null when it is none of ours. An address never puts words of its own on the page. */
export function parseArrival(hash: string): Arrival | null {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const code = said.get("oidc");
  if (code) return { code };
  const error = said.get("sign-in-error");
  return error ? { error: (Object.hasOwn(SENTENCES, error) && SENTENCES[error]) || OTHERWISE } : null;
}

/** Reads it once: neither a reload nor the history may bring it again. */
export function takeArrival(): Arrival | null {
  const arrival = parseArrival(location.hash);
  if (arrival) history.replaceState(null, "", location.pathname + location.search);
  return arrival;
}
