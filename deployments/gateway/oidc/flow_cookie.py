"""The cookie that binds a log-in through a provider to the browser that began it; it opens nothing by itself."""

from fastapi import Request, Response

from storage.redis.sign_in_flows import FLOW_SECONDS, digest

_NAME_LENGTH = 16


def flow_name(state: str) -> str:
    """Several log-ins of one browser go side by side: each has a cookie of its own, named after its state."""
    return digest(state)[:_NAME_LENGTH]


class FlowCookie:
    """`secure` where people reach the page by https; then `__Host-` keeps neighbouring hosts from setting it."""

    def __init__(self, page_url: str) -> None:
        self._secure = page_url.startswith("https://")
        self._prefix = "__Host-loquent-oidc-" if self._secure else "loquent-oidc-"

    def set(self, response: Response, flow: str, secret: str) -> None:
        response.set_cookie(
            self._prefix + flow,
            secret,
            max_age=FLOW_SECONDS,
            path="/",
            secure=self._secure,
            httponly=True,
            # The way back from the provider is a link that another site sends the browser along.
            samesite="lax",
        )

    def read(self, request: Request, flow: str) -> str:
        """Its hash, as the flow remembers it; of nothing when there is none."""
        return digest(request.cookies.get(self._prefix + flow, ""))

    def clear(self, response: Response, flow: str) -> None:
        response.delete_cookie(self._prefix + flow, path="/", secure=self._secure, httponly=True, samesite="lax")
