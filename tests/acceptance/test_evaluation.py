"""A question set on the running platform: what is found, what the real model says, and a gate that a draft passes."""

import time
from typing import Any

import httpx
import pytest

from tests.fixtures.chat import await_document, make_bot, upload
from tests.fixtures.files import pdf

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGES = [
    "The ferry to Hirtshall leaves at nine in the morning. Tickets are sold on board by the purser.",
    "Bicycles travel free of charge. Dogs need a muzzle and stay on the car deck during the crossing.",
    "The restaurant serves cod with lemon potatoes. The kitchen closes at twenty minutes past eight.",
]
QUESTIONS = (
    "question,answer,document,snippet\n"
    "When does the ferry to Hirtshall leave?,nine in the morning,ferry.pdf,leaves at nine in the morning\n"
    "Where do dogs stay during the crossing?,car deck,ferry.pdf,stay on the car deck\n"
)


def ended(client: httpx.Client, address: str, seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.get(address).json()
        if found["state"] not in ("requested", "running"):
            return found
        time.sleep(0.2)
    raise AssertionError(f"the evaluation is still {found['state']}")


def test_from_a_question_set_to_a_published_draft(owner: httpx.Client) -> None:
    bot = make_bot(owner)
    document = upload(owner, bot, "ferry.pdf", pdf(PAGES))
    assert await_document(owner, bot, document["id"])["status"] == "ready"
    made = owner.post(f"/chatbots/{bot}/question-sets", json={"name": "Ferry"}).json()
    file = ("questions.csv", QUESTIONS.encode(), "text/csv")
    added = owner.post(f"/chatbots/{bot}/question-sets/{made['id']}/upload", files={"files": file})
    assert added.json()["added"] == 2, added.text

    for mode in ("retrieval", "answers"):
        body = {"question_set_id": made["id"], "mode": mode}
        started = owner.post(f"/chatbots/{bot}/evaluations", json=body)
        assert started.status_code == 202, started.text
        address = f"/chatbots/{bot}/evaluations/{started.json()['id']}"
        found = ended(owner, address)
        assert (found["state"], found["done"], found["summary"]["errors"]) == ("completed", 2, 0), found
        assert found["summary"]["metrics"]["recall@3"] == {"value": 1, "questions": 2}
    assert found["summary"]["completion_tokens"] > 0
    answers = [one["answer"] for one in owner.get(f"{address}/results").json()["items"]]
    assert all(answers)

    gate = {"question_set_id": made["id"], "rules": [{"metric": "recall@3", "max_drop": 0}]}
    assert owner.put(f"/chatbots/{bot}/publish-gate", json=gate).status_code == 200
    assert owner.put(f"/chatbots/{bot}/draft", json={"retrieval": {"top_k": 3}}).status_code == 200
    waiting = owner.post(f"/chatbots/{bot}/publish", json={})
    assert waiting.status_code == 202, waiting.text
    for which in ("draft_evaluation", "live_evaluation"):
        assert ended(owner, f"/chatbots/{bot}/evaluations/{waiting.json()[which]['id']}")["state"] == "completed"
    published = owner.post(f"/chatbots/{bot}/publish", json={})
    assert (published.status_code, published.json()["chatbot"]["version"]) == (200, 2), published.text
