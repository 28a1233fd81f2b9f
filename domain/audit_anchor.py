"""Anchors of the audit log: signed lists of chain ends, kept where the database's owner does not write."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.ids import TenantId

FOLDER = "audit-anchors"
KEY_PURPOSE = "audit-anchor"
"""For `domain.keys.derive_key`."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The ends of chains that changed since the anchor before."""

    number: int
    """From 1 without gaps."""
    previous: bytes
    """The seal of the anchor before; zeroes for the first."""
    at: datetime
    heads: Mapping[TenantId, tuple[int, bytes]]
    """The last number and hash of each chain."""


def sealed(anchor: Anchor, key: bytes) -> tuple[bytes, bytes]:
    """The object's bytes, JSON Lines, and its seal: HMAC-SHA256 over all lines but the last, which holds it."""
    first = {"anchor": anchor.number, "previous": anchor.previous.hex(), "at": anchor.at.isoformat()}
    heads = [{"tenant": str(t), "seq": seq, "hash": digest.hex()} for t, (seq, digest) in anchor.heads.items()]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in (first, *heads))
    mac = hmac.digest(key, body, "sha256")
    return body + json.dumps({"hmac": mac.hex()}).encode() + b"\n", mac


def opened(data: bytes, key: bytes) -> tuple[Anchor, bytes]:
    """The anchor and its seal. Raises ValueError for anything that `sealed` did not make with this key."""
    body, _, last = data.removesuffix(b"\n").rpartition(b"\n")
    mac = hmac.digest(key, body + b"\n", "sha256")
    if not hmac.compare_digest(last, json.dumps({"hmac": mac.hex()}).encode()):
        raise ValueError("the seal is broken")
    first, *heads = (json.loads(line) for line in body.splitlines())
    return Anchor(
        number=first["anchor"],
        previous=bytes.fromhex(first["previous"]),
        at=datetime.fromisoformat(first["at"]),
        heads={TenantId(UUID(line["tenant"])): (line["seq"], bytes.fromhex(line["hash"])) for line in heads},
    ), mac


def object_key(anchor: Anchor, mac: bytes) -> str:
    """`audit-anchors/<day>/<number>-<seal>.jsonl`: an object is never written over another one."""
    return f"{FOLDER}/{anchor.at:%Y-%m-%d}/{anchor.number:012d}-{mac.hex()[:16]}.jsonl"
