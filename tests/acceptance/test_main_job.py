"""The main job, with HTTP and a WebSocket client only: register, bot, upload, a streamed answer that cites its page."""

import json
from uuid import uuid4

import httpx
import pytest

from tests.fixtures.chat import OpenChat, await_document, make_bot, make_session, sign_up, upload
from tests.fixtures.files import pdf
from tests.fixtures.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGES = [
    "The ferry to Hirtshall leaves at nine in the morning. Tickets are sold on board by the purser.",
    "Bicycles travel free of charge. Dogs need a muzzle and stay on the car deck during the crossing.",
    "The restaurant serves cod with lemon potatoes. The kitchen closes at twenty minutes past eight.",
]


def test_from_an_unseen_pdf_to_a_streamed_answer_that_cites_its_page(owner: httpx.Client, open_chat: OpenChat) -> None:
    bot = make_bot(owner)
    document = upload(owner, bot, "ferry.pdf", pdf(PAGES))
    assert document["status"] == "queued"
    document = await_document(owner, bot, document["id"])
    assert (document["status"], document["pages"]) == ("ready", 3)
    session = make_session(owner, bot)
    chat = open_chat(owner, bot, session)
    assert chat.sign_in()["type"] == "ready"
    frames = chat.ask("When does the kitchen of the restaurant close?")
    kinds = [frame["type"] for frame in frames]
    assert kinds[0] == "ack"
    assert kinds[-2:] == ["citations", "done"]
    assert [frame["seq"] for frame in frames[1:]] == list(range(1, len(frames)))
    answer = "".join(frame["text"] for frame in frames if frame["type"] == "token")
    [first, *_] = frames[-2]["citations"]
    assert (first["document_name"], first["page"]) == ("ferry.pdf", 3)
    assert frames[-1]["usage"]["completion_tokens"] > 0
    passage = owner.get(
        f"/knowledgebase/{bot}/documents/{document['id']}/passage",
        params={"start": first["start"], "end": first["end"]},
    ).json()
    assert passage["text"] == first["snippet"]
    assert passage["page"] == 3
    history = owner.get(f"/chatbots/{bot}/sessions/{session}/messages").json()["items"]
    assert [(m["role"], m["content"]) for m in history] == [
        ("user", "When does the kitchen of the restaurant close?"),
        ("assistant", answer),
    ]


def test_without_a_relevant_passage_it_says_so(owner: httpx.Client) -> None:
    bot = make_bot(owner, no_answer="That is not in our documents.")
    document = upload(owner, bot, "ferry.pdf", pdf(PAGES))
    await_document(owner, bot, document["id"])
    session = make_session(owner, bot)
    answer = owner.post(
        f"/chatbots/{bot}/sessions/{session}/messages",
        json={"text": "Which enzyme unwinds the DNA double helix?"},
        headers={"Accept": "text/event-stream"},
    )
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert "".join(e["text"] for e in events if e["type"] == "token") == "That is not in our documents."
    assert events[-1]["usage"]["total_tokens"] == 0


def test_the_socket_answers_bad_frames_and_goes_on(owner: httpx.Client, open_chat: OpenChat) -> None:
    bot = make_bot(owner)
    chat = open_chat(owner, bot, make_session(owner, bot))
    chat.send({"type": "message", "id": str(uuid4()), "text": "before auth"})
    assert chat.receive()["code"] == "not_authenticated"
    assert chat.sign_in()["type"] == "ready"
    assert chat.sign_in()["code"] == "already_authenticated"
    for bad in ("{", '{"type":"dance"}', "[1]", '{"type":"message","id":"x","text":"y"}', '"\\ud800"'):
        chat.socket.send(bad)
        assert chat.receive()["type"] == "error"
    chat.socket.send(b"\x00\x01")
    assert chat.receive()["code"] == "invalid_frame"
    chat.send({"type": "ping", "nonce": "n"})
    assert chat.receive() == {"type": "pong", "nonce": "n"}


def test_a_resent_message_is_one_message(owner: httpx.Client, open_chat: OpenChat) -> None:
    bot = make_bot(owner)
    session = make_session(owner, bot)
    chat = open_chat(owner, bot, session)
    chat.sign_in()
    message = {"type": "message", "id": str(uuid4()), "text": "hello there"}
    chat.send(message)
    first = chat.until("done")
    chat.send(message)
    again = chat.until("done")
    assert again[0]["duplicate"]
    assert again[0]["turn_id"] == first[0]["turn_id"]
    assert len(owner.get(f"/chatbots/{bot}/sessions/{session}/messages").json()["items"]) == 2


def test_another_tenants_things_are_not_there(api: httpx.Client, owner: httpx.Client, open_chat: OpenChat) -> None:
    bot = make_bot(owner)
    session = make_session(owner, bot)
    paths = (
        f"/chatbots/{bot}",
        f"/chatbots/{bot}/sessions",
        f"/chatbots/{bot}/sessions/{session}/messages",
        f"/knowledgebase/{bot}/documents",
    )
    with sign_up(api) as other:
        for path in paths:
            assert other.get(path).status_code == 404, path
        assert open_chat(other, bot, session).sign_in()["code"] == "not_found"
        assert other.post(f"/chatbots/{bot}/sessions/{session}/messages", json={"text": "hi"}).status_code == 404


def test_history_and_documents_survive_a_restart(platform: Platform, owner: httpx.Client, open_chat: OpenChat) -> None:
    bot = make_bot(owner)
    document = upload(owner, bot, "ferry.pdf", pdf(PAGES))
    await_document(owner, bot, document["id"])
    session = make_session(owner, bot)
    chat = open_chat(owner, bot, session)
    chat.sign_in()
    chat.ask("Do dogs need a muzzle?")
    before = owner.get(f"/chatbots/{bot}/sessions/{session}/messages").json()
    platform.stop()
    assert platform.state() == {}
    platform.start()
    assert owner.get(f"/chatbots/{bot}/sessions/{session}/messages").json() == before
    chat = open_chat(owner, bot, session)
    chat.sign_in()
    frames = chat.ask("Where do dogs stay during the crossing?")
    assert frames[-1]["type"] == "done"
    assert frames[-2]["citations"][0]["page"] == 2


def test_status_reports_memory_and_a_second_up_says_so(platform: Platform) -> None:
    report = json.loads(platform.run("status", "--json").stdout)
    assert report["running"]
    assert report["ready"]
    assert 0 < report["memory_mib"] < 8 * 1024
    second = platform.run("up")
    assert second.returncode == 1
    assert "runs already" in second.stdout
    assert "Traceback" not in second.stdout + second.stderr
