"""Codes of a second factor: time-based ones of an authenticator app, and recovery codes to keep on paper.

Source: RFC 6238 with the values that every authenticator knows: SHA-1, six digits, steps of 30 seconds.
"""

import base64
import hashlib
import hmac
import secrets
import time

import pyotp

from domain.ids import UserId

WINDOW = 1
"""Steps before and after the present one whose codes count, for clocks that differ."""
RECOVERY_CODES = 10
_RECOVERY_BYTES = 10
"""80 random bits: nobody guesses them, so a plain hash keeps them."""
_SEPARATORS = str.maketrans("", "", "- ")


def new_secret() -> str:
    """160 random bits in base32."""
    return pyotp.random_base32()


def provisioning_uri(secret: str, email: str, issuer: str) -> str:
    """The `otpauth://` address that authenticator apps read from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=issuer)


def matching_step(secret: str, code: str, now: float | None = None) -> int | None:
    """The newest step within the window whose code this is; None when there is none. `now` is Unix seconds."""
    totp = pyotp.TOTP(secret)
    present = totp.timecode(time.time() if now is None else now)
    found = None
    # Every step is compared, so that the time does not tell which one it was.
    for step in range(present - WINDOW, present + WINDOW + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """RECOVERY_CODES of them, as `abcd-efgh-ijkl-mnop`."""
    return [_new_recovery_code() for _ in range(RECOVERY_CODES)]


def hash_recovery_code(user_id: UserId, code: str) -> bytes:
    """32 bytes; capitals, hyphens and spaces do not matter."""
    plain = code.translate(_SEPARATORS).lower()
    return hashlib.sha256(user_id.bytes + plain.encode()).digest()


def _new_recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))
