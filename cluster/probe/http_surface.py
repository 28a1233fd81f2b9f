"""Every HTTP operation of the OpenAPI document, asked by others for what belongs to tenant A."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from cluster.probe.marks import Marks, Report
from cluster.probe.operations import HARMLESS, Operation, operations_of
from cluster.probe.planting import Party, ProbeFailed

BESIDE = ("/", "/docs", "/metrics", "/healthz", "/readyz", "/openapi.json")
"""Addresses that everybody may read."""
MAX_WAITS = 5
MAX_WAIT_SECONDS = 20.0


class HttpSurface:
    def __init__(self, http: httpx.AsyncClient, marks: Marks, report: Report) -> None:
        self._http = http
        self._marks = marks
        self._report = report

    async def look(self, a: Party, b: Party) -> None:
        """Ask as B's owner, as B's visitor and as nobody. Raises ProbeFailed when B cannot read what is its own."""
        document = (await self._send("GET", "/openapi.json", {}, {})).json()
        operations = list(operations_of(document))
        own = 0
        for operation in operations:
            for who in ("owner", "visitor", "nobody"):
                headers = b.header(who)
                if operation.method in HARMLESS:
                    own += (await self._ask(operation, who, headers, b.ids)).is_success
                if "{" not in operation.path:
                    continue
                await self._compare(operation, who, headers, a.ids, {})
                if "{chatbot_id}" in operation.path and operation.path.count("{") > 1:
                    mine = {"chatbot_id": b.side.ids["chatbot_id"]}
                    await self._compare(operation, who, headers, {**a.ids, **mine}, mine)
        for path in BESIDE:
            answer = await self._send("GET", path, {}, {})
            self._note(f"GET {path}", "nobody", answer, path)
        if not operations or not own:
            raise ProbeFailed("Tenant B could not read anything at all, so nothing was probed.")

    async def _ask(
        self, operation: Operation, who: str, headers: dict[str, str], ids: Mapping[str, str]
    ) -> httpx.Response:
        path = operation.filled(ids)
        answer = await self._send(operation.method, path, headers, operation.options)
        self._note(operation.name, who, answer, path)
        return answer

    async def _compare(
        self,
        operation: Operation,
        who: str,
        headers: dict[str, str],
        theirs: Mapping[str, str],
        nobodys: Mapping[str, str],
    ) -> None:
        """A's ids have to be answered exactly as ids that do not exist are, or they tell that they do."""
        if operation.permission == "public":
            # Whoever knows a bot's id may chat with it.
            await self._ask(operation, who, headers, theirs)
            return
        answer = await self._ask(operation, who, headers, theirs)
        if answer.status_code == httpx.codes.UNAUTHORIZED and who != "owner":
            return
        unknown = await self._ask(operation, who, headers, nobodys)
        if _gist(answer) != _gist(unknown):
            told = f"answered {answer.status_code} for another tenant's id, {unknown.status_code} for an unknown one"
            self._report.add(operation.name, who, [told])

    def _note(self, surface: str, who: str, answer: httpx.Response, asked: str) -> None:
        self._report.checks["http"] += 1
        self._report.answers[answer.status_code] += 1
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self._report.add(surface, who, self._marks.found_in(f"{head}\n{answer.text}", asked))

    async def _send(self, method: str, path: str, headers: dict[str, str], options: dict[str, Any]) -> httpx.Response:
        """Waits where calls are limited: a refused call looks at nothing. Raises ProbeFailed when that does not end."""
        for _ in range(MAX_WAITS):
            answer = await self._http.request(method, path, headers=headers, **options)
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return answer
            await asyncio.sleep(min(float(answer.headers.get("Retry-After", 1)), MAX_WAIT_SECONDS))
        raise ProbeFailed(f"{method.upper()} {path} is refused as one call too many, again and again.")


def _gist(answer: httpx.Response) -> tuple[int, str]:
    """Status and error code; the rest of an answer differs by its request id anyway."""
    code = ""
    if answer.is_error and answer.headers.get("content-type", "").startswith("application/json"):
        body = answer.json()
        code = str(body.get("error", {}).get("code", "")) if isinstance(body, dict) else ""
    return answer.status_code, code
