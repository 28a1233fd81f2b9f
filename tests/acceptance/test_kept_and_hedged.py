"""An installation with scripted engines: answers that are kept, and a second engine that is asked for a slow one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.fixtures.chat import OpenChat, await_document, make_bot, make_session, sign_up, upload
from tests.fixtures.engines import write_models
from tests.fixtures.installation_folder import installation_folder
from tests.fixtures.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FERRY = "The ferry to Hirtshall leaves at nine in the morning."
QUESTION = "When does the ferry to Hirtshall leave?"
HEDGED = "What does the hedge say?"


@pytest.fixture(scope="module")
def installation() -> Iterator[Platform]:
    """`quick` answers at once; `twice` names an engine that says nothing for long, and `quick`."""
    with installation_folder("loquent-scripted-") as folder:
        table = write_models(
            Path(folder),
            {
                "slow": {"kind": "scripted", "options": {"reply": "Too late.", "first_token_ms": 60_000}},
                "quick": {"kind": "scripted", "options": {"reply": FERRY}},
            },
            {
                "quick": _model("quick"),
                "twice": _model("slow", "quick") | {"hedge_after_ms": 200},
            },
        )
        settings = {
            "LOQUENT_ANSWER_CACHE": "true",
            "LOQUENT_MODELS_FILE": str(table),
            "LOQUENT_DEFAULT_MODEL": "quick",
            "LOQUENT_LOCAL_ENGINE": "none",
        }
        platform = Platform(folder, settings)
        try:
            platform.start()
            yield platform
        finally:
            platform.stop()


def _model(*engines: str) -> dict[str, Any]:
    return {
        "engines": list(engines),
        "context_tokens": 8192,
        "price_micro_per_token": {"prompt": 1, "completion": 2},
    }


@pytest.fixture
def people(installation: Platform) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """The owners of two companies."""
    with httpx.Client(base_url=installation.url, timeout=60) as api, sign_up(api) as one, sign_up(api) as other:
        yield one, other


def taught(client: httpx.Client, **config: Any) -> str:
    """A bot that knows when the ferry leaves."""
    bot = make_bot(client, **config)
    document = upload(client, bot, "ferry.txt", FERRY.encode())
    assert await_document(client, bot, document["id"])["status"] == "ready"
    return bot


def test_an_answer_is_kept_for_its_bot_and_its_knowledge_alone(
    people: tuple[httpx.Client, httpx.Client], open_chat: OpenChat
) -> None:
    owner, stranger = people
    bot, sibling, theirs = taught(owner), taught(owner), taught(stranger)

    def asked(client: httpx.Client, whom: str) -> tuple[str | None, str]:
        """How the answer was found, in a new session, and its words."""
        chat = open_chat(client, whom, make_session(client, whom))
        assert chat.sign_in()["type"] == "ready"
        frames = chat.ask(QUESTION)
        assert frames[-1]["type"] == "done"
        return frames[-1].get("cached"), "".join(one["text"] for one in frames if one["type"] == "token")

    assert asked(owner, bot)[0] is None
    for _ in range(50):
        # It is kept beside the turn.
        if (found := asked(owner, bot))[0] is not None:
            break
    assert found == ("exact", FERRY)
    assert asked(owner, sibling)[0] is None
    assert asked(stranger, theirs)[0] is None
    document = upload(owner, bot, "bus.txt", b"The bus to the ferry leaves at eight.")
    await_document(owner, bot, document["id"])
    assert asked(owner, bot)[0] is None


def test_the_quicker_of_two_engines_answers_and_the_other_is_ended_and_billed_once(
    installation: Platform, people: tuple[httpx.Client, httpx.Client], open_chat: OpenChat
) -> None:
    owner, _ = people
    bot = make_bot(owner, model="twice", retrieval={"grounding": "open"}, cache={"mode": "off"})
    chat = open_chat(owner, bot, session := make_session(owner, bot))
    assert chat.sign_in()["type"] == "ready"
    frames = chat.ask(HEDGED)
    assert frames[-1]["type"] == "done", frames[-1]
    assert "".join(one["text"] for one in frames if one["type"] == "token") == FERRY
    [_, answer] = owner.get(f"/chatbots/{bot}/sessions/{session}/messages").json()["items"]
    trace = owner.get(f"/chatbots/{bot}/sessions/{session}/messages/{answer['id']}/trace").json()
    assert trace["plan_reason"].endswith("; hedged")
    with psycopg.connect(installation.system_url, row_factory=dict_row) as connection:
        [entry] = connection.execute("select * from usage_ledger where chatbot_id = %s", [bot]).fetchall()
    calls = {call["kind"]: call for call in entry["calls"]}
    assert {kind: call["engine"] for kind, call in calls.items()} == {"hedge": "slow", "answer": "quick"}
    assert calls["hedge"]["prompt"] > 0
    assert "completion" not in calls["hedge"]
    assert entry["prompt_tokens"] == calls["hedge"]["prompt"] + calls["answer"]["prompt"]
    assert entry["cost_micro"] == calls["hedge"]["cost"] + calls["answer"]["cost"]
