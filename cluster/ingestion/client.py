"""A client of one chatbot's knowledge base: jobs, known hashes, uploads; it waits when the platform asks for that."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import httpx

from cluster.embedded.process import SetupError
from cluster.ingestion.answers import checked, sentence_of

TIMEOUT_SECONDS = 120.0
TRIES = 8
LONGEST_PAUSE_SECONDS = 60.0
_LATER = frozenset((429, 502, 503, 504))
_REFUSED = frozenset((413, 415, 422))
FAILURE_PAGE = 100

Answer = dict[str, Any]


class Refused(Exception):
    """A file that the platform does not take; the message is its sentence."""


class KnowledgeClient:
    """`async with`; every method raises SetupError when the platform cannot or will not."""

    def __init__(
        self,
        url: str,
        chatbot_id: str,
        auth: httpx.Auth,
        *,
        pause: float = 0.5,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`pause` seconds, doubled each time, lie between two tries when the platform does not say how long to wait."""
        self._url = url
        self._path = f"/knowledgebase/{chatbot_id}"
        self._bot = f"/chatbots/{chatbot_id}"
        self._pause = pause
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, auth=auth, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def chunking(self) -> Answer | None:
        """How the bot cuts its documents; None for a key that may not read its configuration."""
        answer = await self._send("GET", self._bot)
        if answer.status_code == httpx.codes.FORBIDDEN:
            return None
        found: Answer = checked(answer)["config"]["chunking"]
        return found

    async def create_job(self, source: Answer, name: str, replace: bool | None) -> Answer:
        body = {"source": source, "name": name, "replace": replace}
        return checked(await self._send("POST", f"{self._path}/jobs", json=body))

    async def job(self, job_id: str) -> Answer:
        return checked(await self._send("GET", f"{self._path}/jobs/{job_id}"))

    async def seal(self, job_id: str) -> Answer:
        return checked(await self._send("POST", f"{self._path}/jobs/{job_id}/seal"))

    async def cancel(self, job_id: str) -> Answer:
        return checked(await self._send("POST", f"{self._path}/jobs/{job_id}/cancel"))

    async def failures(self, job_id: str, most: int) -> list[Answer]:
        """Up to `most` of what did not become searchable."""
        found: list[Answer] = []
        cursor: str | None = None
        while len(found) < most:
            parameters = {"limit": min(FAILURE_PAGE, most - len(found))} | ({"cursor": cursor} if cursor else {})
            page = checked(await self._send("GET", f"{self._path}/jobs/{job_id}/failures", params=parameters))
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found

    async def known(
        self, hashes: Sequence[str], job_id: str | None, told: Mapping[str, Mapping[str, object]] | None = None
    ) -> set[str]:
        """Those of the hashes whose content need not be sent; the job counts them, `told` is their metadata."""
        body = {"hashes": list(hashes), "job_id": job_id, "metadata": told or {}}
        return set(checked(await self._send("POST", f"{self._path}/hashes", json=body))["known"])

    async def upload(
        self, job_id: str, name: str, media_type: str, data: bytes, source: str, metadata: dict[str, Any]
    ) -> Answer:
        """The document. Raises Refused for a file that the platform does not take."""
        answer = await self._send(
            "POST",
            f"{self._path}/upload",
            params={"job": job_id},
            data={"source": source, "metadata": json.dumps(metadata, ensure_ascii=False)},
            files=[("files", (name, data, media_type))],
        )
        if answer.status_code in _REFUSED:
            raise Refused(sentence_of(answer))
        body = checked(answer)
        for one in body.get("refused", []):
            raise Refused(one["reason"])
        document: Answer = body["documents"][0]
        return document

    async def watch(self, job_id: str) -> AsyncGenerator[Answer, None]:
        """The job as it changes, and once more when it has ended."""
        last = ""
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            try:
                stream = self._http.stream("GET", f"{self._path}/jobs/{job_id}/events", headers=headers)
                async with stream as answer:
                    if answer.is_error:
                        await answer.aread()
                        if answer.status_code not in _LATER:
                            checked(answer)
                    else:
                        async with aclosing(_events(answer.aiter_lines())) as events:
                            async for mark, kind, data in events:
                                last = mark or last
                                yield json.loads(data)
                                if kind == "end":
                                    return
            except httpx.TransportError:
                # The platform says by itself, below, whether it is gone.
                await self.job(job_id)
            await asyncio.sleep(self._pause)

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        for attempt in range(TRIES):
            pause = self._pause * 2**attempt * random.uniform(0.5, 1)
            try:
                answer = await self._http.request(method, path, **options)
            except httpx.TransportError as error:
                if attempt == TRIES - 1 or (attempt > 1 and isinstance(error, httpx.ConnectError)):
                    sentence = f"The platform at {self._url} does not answer ({type(error).__name__})."
                    raise SetupError(sentence) from error
            else:
                if answer.status_code not in _LATER or attempt == TRIES - 1:
                    return answer
                pause = max(pause, _told_pause(answer))
            await asyncio.sleep(min(pause, LONGEST_PAUSE_SECONDS))
        raise AssertionError("unreachable")


def _told_pause(answer: httpx.Response) -> float:
    """Seconds of `Retry-After`; a date would be far away."""
    told = answer.headers.get("retry-after", "").strip()
    return float(told) if told.isascii() and told.isdigit() else 0.0


async def _events(lines: AsyncIterator[str]) -> AsyncGenerator[tuple[str, str, str], None]:
    """Id, type and data of server-sent events. Source: the WHATWG's HTML standard, 9.2.6."""
    mark, kind = "", "message"
    data: list[str] = []
    async for line in lines:
        if not line:
            if data:
                yield mark, kind, "\n".join(data)
            kind, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "id":
                mark = value
            case "event":
                kind = value
            case "data":
                data.append(value)
