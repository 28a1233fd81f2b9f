"""The cookie that tells a device which somebody has signed in with before."""

import hmac
import time
from uuid import UUID, uuid4

from fastapi import Request, Response

from configs.settings import Settings
from deployments.gateway.client_address import client_of
from domain.ids import UserId
from domain.keys import derive_key

COOKIE = "loquent_device"
_SECONDS = 180 * 86_400


class DeviceCookies:
    """`<device>.<Unix seconds of its end>.<HMAC-SHA256>`, for one person. It gives no right: all that it decides is
    whose guesses at a password are counted together. Source: OWASP, "Slow down online guessing with device cookies".
    """

    def __init__(self, settings: Settings) -> None:
        self._key = derive_key(settings.secret_key.get_secret_value(), "device-cookie")

    def device_in(self, request: Request, user_id: UserId) -> str | None:
        """The id of a device that this person has signed in with; None without a good cookie of theirs."""
        device, _, rest = request.cookies.get(COOKIE, "")[:200].partition(".")
        end, _, mac = rest.partition(".")
        good = hmac.compare_digest(self._mac(user_id, device, end).encode(), mac.encode("utf-8", "replace"))
        return device if good and int(end) > time.time() else None

    def remember(self, request: Request, response: Response, user_id: UserId) -> None:
        """Set the cookie after a log-in; a device keeps its id."""
        device = self.device_in(request, user_id) or uuid4().hex
        end = str(int(time.time()) + _SECONDS)
        response.set_cookie(
            COOKIE,
            f"{device}.{end}.{self._mac(user_id, device, end)}",
            max_age=_SECONDS,
            path="/auth",
            secure=client_of(request.scope).secure,
            httponly=True,
            samesite="strict",
        )

    def _mac(self, user_id: UUID, device: str, end: str) -> str:
        return hmac.new(self._key, f"{user_id}.{device}.{end}".encode("utf-8", "replace"), "sha256").hexdigest()
