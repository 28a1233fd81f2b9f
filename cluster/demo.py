"""Seeds the demo tenant over the public API: a log-in, a chatbot and two documents; does nothing when it is there."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from cluster.embedded.process import SetupError
from configs.settings import DEMO_EMAIL, DEMO_PASSWORD

FILES = Path(__file__).parent / "demo_files"
READY_SECONDS = 180.0
AGAIN_SECONDS = 1.0
COMPANY = "Aurora Lamps (demo)"
CHATBOT = {
    "name": "Aurora help desk",
    "config": {
        "persona": "the help desk of Aurora, a maker of desk lamps.",
        "greeting": "Hello! Ask me about the Aurora lamp, shipping or the warranty.",
        "no_answer": "I could not find that in Aurora's documents.",
    },
}


def seed_demo(url: str, interrupted: Callable[[], bool] = lambda: False) -> str:
    """The id of the demo chatbot, its documents ready. Raises SetupError when the platform does not do its part."""
    deadline = time.monotonic() + READY_SECONDS
    with httpx.Client(base_url=url, timeout=30) as client:
        while True:
            try:
                return _seed(client, interrupted)
            except httpx.TransportError as error:
                # A replica went while it answered, on a machine that is short of something; what is there is found.
                if interrupted() or time.monotonic() > deadline:
                    raise SetupError(f"The demo could not be set up ({type(error).__name__}).") from error
            time.sleep(AGAIN_SECONDS)


def _seed(client: httpx.Client, interrupted: Callable[[], bool]) -> str:
    log_in = {"email": DEMO_EMAIL, "password": DEMO_PASSWORD}
    answer = client.post("/auth/login", json=log_in)
    if answer.status_code == 401:
        answer = client.post("/auth/register", json={**log_in, "company": COMPANY})
    client.headers["Authorization"] = f"Bearer {_body(answer)['access_token']}"
    chatbots = _body(client.get("/chatbots"))["items"]
    chatbot = next((bot for bot in chatbots if bot["name"] == CHATBOT["name"]), None)
    if chatbot is None:
        chatbot = _body(client.post("/chatbots", json=CHATBOT))
    elif _documents(client, str(chatbot["id"])):
        return str(chatbot["id"])
    files = [("files", (path.name, path.read_bytes())) for path in sorted(FILES.iterdir())]
    _body(client.post(f"/knowledgebase/{chatbot['id']}/upload", files=files))
    _await_documents(client, str(chatbot["id"]), interrupted)
    return str(chatbot["id"])


def _await_documents(client: httpx.Client, chatbot_id: str, interrupted: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not interrupted():
        documents = _documents(client, chatbot_id)
        if all(document["status"] == "ready" for document in documents):
            return
        failed = next((document for document in documents if document["status"] == "failed"), None)
        if failed is not None:
            raise SetupError(f"The demo document {failed['name']} was not ingested: {failed['reason']}")
        if time.monotonic() > deadline:
            raise SetupError("The demo documents were not ingested in time; `loquent status` shows what is wrong.")
        time.sleep(0.25)


def _documents(client: httpx.Client, chatbot_id: str) -> list[dict[str, Any]]:
    """None while an interrupted seeding has made the chatbot and nothing else."""
    items: list[dict[str, Any]] = _body(client.get(f"/knowledgebase/{chatbot_id}/documents"))["items"]
    return items


def _body(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise SetupError(f"The demo could not be set up: {answer.request.url.path} answered {answer.status_code}.")
    body: dict[str, Any] = answer.json()
    return body
