"""The audit log's events: who did what to whom, from where, chained by hashes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from domain.ids import TenantId

FIRST_PREVIOUS = bytes(32)
"""What stands before the first event of a chain, and the first anchor."""
_FORMAT = b"loquent-audit-1"
_ABSENT = b"\xff\xff\xff\xff"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Details = Mapping[str, str | int | bool | list[str] | None]
"""Flat, and without floats: the database gives back exactly what was hashed. Never secrets or messages."""


class Action(StrEnum):
    TENANT_REGISTER = "tenant.register"
    USER_LOGIN = "user.login"
    USER_LOGIN_REFUSED = "user.login_refused"
    USER_LOGOUT = "user.logout"
    REFRESH_TOKEN_REUSE = "refresh_token.reuse"  # noqa: S105 - a name
    MFA_ENABLE = "mfa.enable"
    MFA_DISABLE = "mfa.disable"
    MFA_REFUSED = "mfa.refused"
    RECOVERY_CODE_USE = "recovery_code.use"
    RECOVERY_CODES_RENEW = "recovery_codes.renew"
    TENANT_SECURITY_UPDATE = "tenant.security_update"
    IDENTITY_LINK = "identity.link"
    IDENTITY_UNLINK = "identity.unlink"
    SIGN_IN_REVOKE = "sign_in.revoke"
    API_KEY_CREATE = "api_key.create"
    API_KEY_ROTATE = "api_key.rotate"
    API_KEY_REVOKE = "api_key.revoke"
    CHATBOT_CREATE = "chatbot.create"
    CHATBOT_UPDATE = "chatbot.update"
    CHATBOT_DELETE = "chatbot.delete"
    CHATBOT_CACHE_EMPTY = "chatbot.cache_empty"
    CHATBOT_PUBLISH = "chatbot.publish"
    CHATBOT_RESTORE = "chatbot.restore"
    DRAFT_UPDATE = "draft.update"
    DRAFT_DELETE = "draft.delete"
    PUBLISH_GATE_UPDATE = "publish_gate.update"
    PUBLISH_GATE_DELETE = "publish_gate.delete"
    QUESTION_SET_CREATE = "question_set.create"
    QUESTION_SET_UPDATE = "question_set.update"
    QUESTION_SET_DELETE = "question_set.delete"
    EVALUATION_START = "evaluation.start"
    EVALUATION_CANCEL = "evaluation.cancel"
    EVALUATION_DELETE = "evaluation.delete"
    IDENTITY_SECRET_READ = "identity_secret.read"  # noqa: S105 - a name
    DOCUMENT_UPLOAD = "document.upload"
    DOCUMENT_UPDATE = "document.update"
    DOCUMENT_DELETE = "document.delete"
    JOB_CREATE = "job.create"
    JOB_CANCEL = "job.cancel"
    KNOWLEDGE_REEMBED = "knowledge.reembed"
    KNOWLEDGE_CANCEL = "knowledge.cancel"
    KNOWLEDGE_SWITCH = "knowledge.switch"
    KNOWLEDGE_ROLLBACK = "knowledge.rollback"
    SESSION_UPDATE = "session.update"
    SESSION_DELETE = "session.delete"
    PLAN_CHECKOUT = "plan.checkout"
    PLAN_CHANGE = "plan.change"
    REVIEW_APPROVE = "review.approve"
    REVIEW_REJECT = "review.reject"
    AUDIT_EXPORT = "audit.export"
    VISITOR_ERASE = "visitor.erase"
    TENANT_ERASE = "tenant.erase"
    TENANT_ERASE_CANCEL = "tenant.erase_cancel"
    ERASURE_DONE = "erasure.done"
    CONSENT_GIVE = "consent.give"
    DATA_EXPORT = "data.export"
    DATA_DOWNLOAD = "data.download"
    MEMBER_UPDATE = "member.update"
    MEMBER_REMOVE = "member.remove"
    INVITATION_CREATE = "invitation.create"
    INVITATION_RESEND = "invitation.resend"
    INVITATION_DELETE = "invitation.delete"
    INVITATION_ACCEPT = "invitation.accept"
    EMAIL_VERIFY = "email.verify"
    PASSWORD_RESET = "password.reset"  # noqa: S105 - a name
    PASSWORD_CHANGE = "password.change"  # noqa: S105 - a name
    STAFF_READ = "staff.read"
    TENANT_SUSPEND = "tenant.suspend"
    TENANT_RESUME = "tenant.resume"
    KEY_ROTATE = "key.rotate"
    KEY_REWRAP = "key.rewrap"


class ActorKind(StrEnum):
    USER = "user"
    API_KEY = "api_key"
    VISITOR = "visitor"
    ANONYMOUS = "anonymous"
    """Somebody who did not prove who they are."""
    STRIPE = "stripe"
    SYSTEM = "system"
    """The platform itself: a job that somebody's request, or a setting, began."""
    STAFF = "staff"
    """Somebody of the platform itself."""
    OPERATOR = "operator"
    """Whoever runs the `loquent` command on the server."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who acts, and from where. `ip` and `request_id` are None when no request of theirs caused it."""

    actor_kind: ActorKind
    actor_id: str | None = None
    ip: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What the action was done to: the kind of thing and its id."""

    kind: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One link of a tenant's chain. Plain text where the table has plain text: a tampered row must be readable."""

    tenant_id: TenantId
    seq: int
    at: datetime
    actor_kind: str
    actor_id: str | None
    action: str
    target_kind: str
    target_id: str | None
    ip: str | None
    request_id: str | None
    details: Details
    previous_hash: bytes
    hash: bytes


def hash_of(event: AuditEvent) -> bytes:
    """SHA-256 over `encoded`: 32 bytes. What `event.hash` says plays no part."""
    return hashlib.sha256(encoded(event)).digest()


def encoded(event: AuditEvent) -> bytes:
    """The canonical form, described in docs/audit.md: a format name and twelve fields, each after its length.

    A length is four bytes, big-endian; `ff ff ff ff` means that there is no value. Text is UTF-8, numbers are decimal,
    `at` is microseconds since 1970, details are JSON with sorted keys and no spaces.
    """
    fields = (
        _FORMAT,
        str(event.tenant_id),
        str(event.seq),
        str((event.at - _EPOCH) // _MICROSECOND),
        event.actor_kind,
        event.actor_id,
        event.action,
        event.target_kind,
        event.target_id,
        event.ip,
        event.request_id,
        json.dumps(event.details, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        event.previous_hash,
    )
    return b"".join(map(_field, fields))


def _field(value: str | bytes | None) -> bytes:
    if value is None:
        return _ABSENT
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(4, "big") + data
