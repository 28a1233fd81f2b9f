"""Who `loquent ingest` is to the platform: an API key, or somebody who signs in, again when the token has expired."""

from collections.abc import Generator

import httpx

from cluster.ingestion.answers import checked


class ApiKey(httpx.Auth):
    def __init__(self, key: str) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key}"
        yield request


class LogIn(httpx.Auth):
    """Signs in on the first request, and again when the access token has expired: a large folder takes longer."""

    requires_response_body = True

    def __init__(self, url: str, email: str, password: str) -> None:
        self._request = httpx.Request("POST", f"{url}/auth/login", json={"email": email, "password": password})
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        while True:
            used = self._token
            if not used:
                used = self._token = checked((yield self._request))["access_token"]
                fresh = True
            else:
                fresh = False
            request.headers["Authorization"] = f"Bearer {used}"
            answer = yield request
            if answer.status_code != httpx.codes.UNAUTHORIZED or fresh:
                return
            if self._token == used:
                # Unless another request has signed in meanwhile.
                self._token = ""
