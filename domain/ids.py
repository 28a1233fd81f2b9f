"""Identifiers: one type per noun, all UUIDv7 so that they sort by creation time."""

import os
import time
from typing import NewType
from uuid import UUID

TenantId = NewType("TenantId", UUID)
UserId = NewType("UserId", UUID)
ChatbotId = NewType("ChatbotId", UUID)
DocumentId = NewType("DocumentId", UUID)
SessionId = NewType("SessionId", UUID)
TurnId = NewType("TurnId", UUID)
MessageId = NewType("MessageId", UUID)
VisitorId = NewType("VisitorId", UUID)
SignInId = NewType("SignInId", UUID)
ApiKeyId = NewType("ApiKeyId", UUID)
JobId = NewType("JobId", UUID)
QuestionSetId = NewType("QuestionSetId", UUID)
QuestionId = NewType("QuestionId", UUID)
EvaluationId = NewType("EvaluationId", UUID)


def new_uuid() -> UUID:
    """A UUIDv7: 48 bits of Unix milliseconds, then 74 random bits. Source: RFC 9562, section 5.7."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | (random >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | random & ((1 << 62) - 1)
    return UUID(int=value)
