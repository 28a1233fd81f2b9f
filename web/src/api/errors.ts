/** Errors of the API as sentences for people. */

const BY_STATUS: Record<number, string> = {
  401: "Please sign in again.",
  403: "You may not do this.",
  404: "This does not exist any more.",
  413: "That is too large to send.",
  429: "Too many requests at once. Please wait a moment.",
  502: "The service is starting or busy. Please try again.",
  503: "The service is not available at the moment. Please try again.",
  504: "The service took too long to answer. Please try again.",
};

export class ApiError extends Error {
  override name = "ApiError";

  constructor(
    /** HTTP status; 0 when no answer came. */
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string | null = null,
  ) {
    super(message);
  }
}

export function unreachable(): ApiError {
  return new ApiError(0, "unreachable", "The server cannot be reached. Check the connection and try again.");
}

/** The error in a response body, which may be anything: a proxy's page never reaches the reader. */
export function errorFrom(status: number, body: string): ApiError {
  const fallback = BY_STATUS[status] ?? "Something went wrong. Please try again.";
  try {
    const { error } = JSON.parse(body) as { error?: { code?: unknown; message?: unknown; request_id?: unknown } };
    if (error && typeof error.code === "string" && typeof error.message === "string") {
      const requestId = typeof error.request_id === "string" ? error.request_id : null;
      return new ApiError(status, error.code, error.message, requestId);
    }
  } catch {
    // Not JSON: the fallback says it.
  }
  return new ApiError(status, "http_" + String(status), fallback);
}

/** One readable sentence for whatever was thrown. */
export function sentence(reason: unknown): string {
  if (!(reason instanceof ApiError)) return "Something went wrong. Please try again.";
  return reason.status >= 500 && reason.requestId ? `${reason.message} (Reference ${reason.requestId})` : reason.message;
}
