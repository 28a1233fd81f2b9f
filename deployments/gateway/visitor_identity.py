"""How a tenant's server vouches for a person: a signature over its own name for them."""

import hmac

from configs.settings import Settings
from domain.ids import ChatbotId, TenantId
from domain.keys import derive_key


def identity_secret(settings: Settings, tenant_id: TenantId, chatbot_id: ChatbotId) -> str:
    """The key of one chatbot's signatures, 64 hexadecimal characters; the same on every replica, stored nowhere."""
    return derive_key(settings.secret_key.get_secret_value(), f"identity:{tenant_id}:{chatbot_id}").hex()


def signature_of(secret: str, user_id: str, attributes: str | None = None) -> str:
    """Hexadecimal HMAC-SHA256 of the name in UTF-8; the key is the secret's text as it is shown to the tenant.

    With attributes, the text of a JSON object, it is of the name, a line feed and that text, under a key of its own: no
    name that a person chose can be taken for a name with attributes.
    """
    if attributes is None:
        return hmac.new(secret.encode(), user_id.encode(), "sha256").hexdigest()
    return hmac.new(f"{secret}:attributes".encode(), f"{user_id}\n{attributes}".encode(), "sha256").hexdigest()


def signed(secret: str, user_id: str, signature: str, attributes: str | None = None) -> bool:
    """Compared in constant time; upper case is fine. Attributes of more than one line are never signed: the last line
    feed is where the name ends."""
    if attributes is not None and "\n" in attributes:
        return False
    expected = signature_of(secret, user_id, attributes)
    return hmac.compare_digest(expected.encode(), signature.lower().encode("utf-8", "replace"))
