"""What `loquent chat` does over HTTP: sign in, find a chatbot, begin a session, rate an answer."""

import time
from typing import Any

import httpx

from cluster.client import ChatError
from cluster.demo import CHATBOT
from cluster.embedded.process import SetupError

_SPARE_SECONDS = 60.0


class ChatAccount:
    """Signed in when first needed, and again before the access token expires."""

    def __init__(self, http: httpx.AsyncClient, email: str, password: str) -> None:
        """`http` has the platform's address as its base."""
        self._http = http
        self._log_in = {"email": email, "password": password}
        self._token = ""
        self._until = 0.0

    async def token(self) -> str:
        """An access token. Raises ChatError when the log-in is refused, OSError when it may be tried again."""
        if time.monotonic() >= self._until:
            try:
                answer = await self._http.post("/auth/login", json=self._log_in)
            except httpx.HTTPError as error:
                raise ConnectionError(f"The platform does not answer ({type(error).__name__}).") from error
            if answer.status_code in (401, 422):
                raise ChatError("not_authenticated", _message(answer))
            if answer.is_error:
                raise ConnectionError(_message(answer))
            grant = answer.json()
            if grant.get("mfa_required"):
                raise ChatError("mfa_required", "This account asks for a second factor; use one without, or the page.")
            self._token = grant["access_token"]
            self._until = time.monotonic() + grant["expires_in"] - _SPARE_SECONDS
        return self._token

    async def find_chatbot(self) -> str:
        """The demo's chatbot, or the only one. Raises SetupError."""
        chatbots = (await self._call("GET", "/chatbots"))["items"]
        named = [chatbot for chatbot in chatbots if chatbot["name"] == CHATBOT["name"]] or chatbots
        if not named:
            raise SetupError("There is no chatbot yet; `loquent demo` makes one.")
        if len(named) > 1:
            names = ", ".join(f"{chatbot['name']} ({chatbot['id']})" for chatbot in named[:10])
            raise SetupError(f"Choose one with --chatbot: {names}.")
        return str(named[0]["id"])

    async def new_session(self, chatbot_id: str) -> str:
        """Raises SetupError."""
        return str((await self._call("POST", f"/chatbots/{chatbot_id}/sessions"))["id"])

    async def rate(self, chatbot_id: str, session_id: str, message_id: str, rating: str) -> None:
        """`rating` is up or down. Raises SetupError."""
        path = f"/chatbots/{chatbot_id}/sessions/{session_id}/messages/{message_id}/feedback"
        await self._call("PUT", path, json={"rating": rating})

    async def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            headers = {"Authorization": f"Bearer {await self.token()}"}
            answer = await self._http.request(method, path, headers=headers, **options)
        except ChatError as error:
            raise SetupError(error.message) from error
        except httpx.HTTPError as error:
            raise SetupError(
                f"The platform at {self._http.base_url} does not answer ({type(error).__name__})."
            ) from error
        except OSError as error:
            raise SetupError(str(error)) from error
        if answer.is_error:
            raise SetupError(f"The platform refused: {_message(answer)}")
        body: dict[str, Any] = answer.json() if answer.content else {}
        return body


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"Status {answer.status_code}."
