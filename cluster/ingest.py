"""`loquent ingest`: uploads files over the API and shows their way to `ready`."""

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cluster.embedded.process import SetupError
from configs.settings import DEMO_EMAIL, DEMO_PASSWORD

BATCH = 10
POLL_SECONDS = 0.5


def ingest_files(url: str, path: Path, chatbot_id: str, email: str, password: str, console: Console) -> int:
    """Upload `path` (a file, or every file below a folder) and wait; the number of documents that failed."""
    found = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    files = [file for file in found if not file.name.startswith(".")]
    if not files:
        raise SetupError(f"There is no file at {path}.")
    try:
        log_in = LogIn(url, email or DEMO_EMAIL, password or DEMO_PASSWORD)
        with httpx.Client(base_url=url, timeout=120, auth=log_in) as client:
            return _ingest(client, files, chatbot_id, console)
    except OSError as error:
        raise SetupError(f"{error.filename or path} cannot be read ({error.strerror}).") from error
    except httpx.HTTPError as error:
        raise SetupError(f"The platform at {url} does not answer ({type(error).__name__}).") from error


class LogIn(httpx.Auth):
    """Signs in on the first request, and again when the access token has expired: a large folder takes longer."""

    requires_response_body = True

    def __init__(self, url: str, email: str, password: str) -> None:
        self._request = httpx.Request("POST", f"{url}/auth/login", json={"email": email, "password": password})
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        for _ in range(2):
            if not self._token:
                self._token = _checked((yield self._request))["access_token"]
            request.headers["Authorization"] = f"Bearer {self._token}"
            answer = yield request
            if answer.status_code != httpx.codes.UNAUTHORIZED:
                return
            self._token = ""


def _ingest(client: httpx.Client, files: list[Path], chatbot_id: str, console: Console) -> int:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    refused: dict[str, str] = {}
    waiting: dict[str, str] = {}
    ended: dict[str, dict[str, Any]] = {}
    with Progress(*columns, console=console) as progress:
        uploaded = progress.add_task("uploaded", total=len(files))
        ready = progress.add_task("searchable", total=len(files))
        for start in range(0, len(files), BATCH):
            for file in files[start : start + BATCH]:
                answer = client.post(
                    f"/knowledgebase/{chatbot_id}/upload", files=[("files", (file.name, file.read_bytes()))]
                )
                if answer.status_code in (413, 415, 422):
                    refused[str(file)] = answer.json()["error"]["message"]
                else:
                    for document in _checked(answer)["documents"]:
                        waiting[document["id"]] = str(file)
                progress.advance(uploaded)
        progress.update(ready, total=len(waiting))
        while len(ended) < len(waiting):
            for document_id in waiting.keys() - ended.keys():
                document = _checked(client.get(f"/knowledgebase/{chatbot_id}/documents/{document_id}"))
                if document["status"] in ("ready", "failed"):
                    ended[document_id] = document
            progress.update(ready, completed=len(ended))
            time.sleep(POLL_SECONDS)
    failed = {waiting[key]: value["reason"] for key, value in ended.items() if value["status"] == "failed"} | refused
    chunks = sum(document["chunks"] or 0 for document in ended.values())
    console.print(
        f"{len(ended) + len(refused) - len(failed)} documents searchable, {chunks} chunks, {len(failed)} failed."
    )
    for name, reason in failed.items():
        console.print(f"[red]✗[/red] {name}: {reason}", highlight=False)
    return len(failed)


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        try:
            message = answer.json()["error"]["message"]
        except (ValueError, KeyError):
            message = f"status {answer.status_code}"
        raise SetupError(f"The platform refused: {message}")
    body: dict[str, Any] = answer.json()
    return body
