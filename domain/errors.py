"""Errors that know what to tell the user: an HTTP status, a stable code and a sentence.

AppError
├── InvalidInput 400          ├── NotAuthenticated 401      ├── Forbidden 403
│                             │                             │   ├── ConsentRequired
│                             │                             │   └── TenantSuspended
├── PaymentRequired 402       ├── NotFound 404              ├── Conflict 409
│   └── QuotaExceeded         ├── TooLarge 413              │   ├── AlreadyExists
├── UnsupportedMedia 415      ├── Unprocessable 422         │   ├── TurnRunning
├── RateLimited 429           │   └── PromptTooLong         │   ├── TurnNotRunning
├── Unavailable 503           ├── EngineFailed 502          │   ├── SessionClosed
│   ├── ModelStarting         │                             │   └── StaleEpoch
│   └── StorageFull           │
└── Unreadable 410            │
    └── Erased                │
Below Forbidden: WrongCode, MfaEnrolmentRequired, TenantSuspended.
"""

from typing import Any, ClassVar


class AppError(Exception):
    """Base of every error a user may see. `message` is a full sentence without secrets."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    default: ClassVar[str] = "Something went wrong on our side."

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        self.message = message or self.default
        self.retry_after = retry_after
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), self.message, self.retry_after))


def _restore(kind: type[AppError], message: str, retry_after: float | None) -> AppError:
    return kind(message, retry_after=retry_after)


class InvalidInput(AppError):
    status, code, default = 400, "invalid_input", "The request is not valid."


class NotAuthenticated(AppError):
    status, code, default = 401, "not_authenticated", "Sign in to continue."


class PaymentRequired(AppError):
    status, code, default = 402, "payment_required", "The plan does not include this."


class QuotaExceeded(PaymentRequired):
    code, default = "quota_exceeded", "The plan's limit is reached."


class Forbidden(AppError):
    status, code, default = 403, "forbidden", "You may not do this."


class ConsentRequired(Forbidden):
    code, default = "consent_required", "Agree to the privacy policy first."


class WrongCode(Forbidden):
    code, default = "wrong_code", "The code is wrong or was used already."


class MfaEnrolmentRequired(Forbidden):
    code, default = "mfa_enrolment_required", "The company asks for a second factor; set one up to continue."


class TenantSuspended(Forbidden):
    code, default = "tenant_suspended", "The platform has suspended this company; ask its staff."


class NotFound(AppError):
    status, code, default = 404, "not_found", "There is no such thing here."


class Conflict(AppError):
    status, code, default = 409, "conflict", "The request conflicts with the present state."


class AlreadyExists(Conflict):
    code, default = "already_exists", "It exists already."


class TurnRunning(Conflict):
    code, default = "turn_running", "An answer is still being written in this session."


class TurnNotRunning(Conflict):
    code, default = "turn_not_running", "No answer is being written that could be stopped."


class SessionClosed(Conflict):
    code, default = "session_closed", "This session is closed; begin another one."


class StaleEpoch(Conflict):
    code, default = "stale_epoch", "The conversation moved to another process; try again."


class Unreadable(AppError):
    """Stored content that does not open: it was altered, moved, or its key is gone."""

    status, code, default = 410, "unreadable", "This content cannot be read any more."


class Erased(Unreadable):
    code, default = "erased", "This content was erased, and its key with it."


class TooLarge(AppError):
    status, code, default = 413, "too_large", "The request is too large."


class UnsupportedMedia(AppError):
    status, code, default = 415, "unsupported_media", "This kind of file is not supported."


class Unprocessable(AppError):
    status, code, default = 422, "unprocessable", "The content cannot be processed."


class PromptTooLong(Unprocessable):
    code, default = "prompt_too_long", "The message is too long for this chatbot's language model."


class RateLimited(AppError):
    status, code, default = 429, "rate_limited", "Too many requests; try again later."


class EngineFailed(AppError):
    status, code, default = 502, "engine_failed", "The language model could not answer; try again."


class Unavailable(AppError):
    status, code, default = 503, "unavailable", "The service is not available at the moment; try again."


class ModelStarting(Unavailable):
    code, default = "model_starting", "The language model is starting; try again in a minute."


class StorageFull(Unavailable):
    code, default = "storage_full", "There is no room left where documents are stored; tell the operator."


def _tree(kind: type[AppError]) -> dict[str, type[AppError]]:
    found = {kind.code: kind}
    for child in kind.__subclasses__():
        found |= _tree(child)
    return found


def error_of(code: str, message: str, retry_after: float | None = None) -> AppError:
    """Rebuild an error from its code, as it comes from another process; unknown codes are generic."""
    return _tree(AppError).get(code, AppError)(message, retry_after=retry_after)
