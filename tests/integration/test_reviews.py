"""The review queue: what checks found is listed without its text, decided once, audited, and can be withheld."""

from uuid import UUID

from actors.turn_record import TurnBooks, TurnRecord
from configs.tables import load_models
from domain.conversation import Question, TurnState
from domain.generation import Usage
from domain.guarding.report import GuardNote, GuardReport
from domain.ids import ChatbotId, MessageId, SessionId, TurnId, new_uuid
from domain.turn import AnswerEnded, TurnInput
from storage.postgres.database import tenant_tx
from storage.postgres.turns import Turns
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.stored_turns import CITATION, path, tenant_id_of
from tests.fixtures.twins import turn_input


async def flagged_turn(
    rig: GatewayRig, chat: Chat, text: str, *notes: GuardNote, fails: bool = False
) -> tuple[str, str]:
    """A turn as a session host ends it; ids of question and answer."""
    tenant_id, session_id = tenant_id_of(chat), SessionId(UUID(chat.session))
    turn_id, answer_id, question_id = TurnId(new_uuid()), MessageId(new_uuid()), MessageId(new_uuid())
    async with tenant_tx(rig.services.db, tenant_id) as tx:
        turns = Turns(tx, tenant_id)
        epoch = await turns.claim_epoch("test")
        question = Question(str(new_uuid()), text)
        assert await turns.accept(session_id, question, turn_id, question_id, epoch, TurnState.RUNNING)
    turn = turn_input(text)
    turn = TurnInput(turn_id, tenant_id, ChatbotId(UUID(chat.bot)), turn.config, turn.model, text, ())
    report = GuardReport(notes=list(notes))
    record = TurnRecord(rig.services.db, load_models())
    if fails:
        await record.fail(turn, session_id, epoch, TurnState.FAILED, "engine_failed", report)
    else:
        ended = AnswerEnded(TurnState.COMPLETED, "An answer.", (CITATION,), "m", Usage(3, 2), "test", report)
        await record.complete(turn, session_id, epoch, answer_id, ended, TurnBooks())
        events = await record.replay(tenant_id, session_id, turn_id, 0)
        assert events[-1]["guard"] == report.verdict
    return str(question_id), str(answer_id)


FLAGGED = GuardNote("input", "injection", "flagged", 0.8)
BLOCKED = GuardNote("output", "secrets", "blocked")


async def test_a_turn_puts_its_messages_into_the_queue(rig: GatewayRig, chat: Chat) -> None:
    redacted = GuardNote("output", "links", "redacted", count=2)
    question, answer = await flagged_turn(rig, chat, "secret question", FLAGGED, BLOCKED, redacted)
    quiet, _ = await flagged_turn(rig, chat, "quiet question", redacted)
    failed, _ = await flagged_turn(rig, chat, "failed question", FLAGGED, BLOCKED, fails=True)
    listed = (await chat.tenant.get("/reviews")).json()
    found = [(item["message_id"], item["place"], item["check"], item["outcome"]) for item in listed["items"]]
    # The two of a turn are made in the same moment.
    assert set(found[:2]) == {(failed, "output", "secrets", "blocked"), (failed, "input", "injection", "flagged")}
    assert set(found[2:]) == {(answer, "output", "secrets", "blocked"), (question, "input", "injection", "flagged")}
    assert {item["score"] for item in listed["items"]} == {0.8, 1.0}
    assert "question" not in str(listed)
    assert quiet not in str(listed)


async def test_the_queue_is_read_in_pages_and_by_state(rig: GatewayRig, chat: Chat) -> None:
    for text in ("one", "two", "three"):
        await flagged_turn(rig, chat, text, FLAGGED)
    first = (await chat.tenant.get("/reviews", params={"limit": 2})).json()
    rest = (await chat.tenant.get("/reviews", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert (len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (2, 1, None)
    decided = first["items"][0]["id"]
    assert (await chat.tenant.post(f"/reviews/{decided}/approve", json={"note": "Fine"})).json()["state"] == "approved"
    states = {
        state: [item["id"] for item in (await chat.tenant.get("/reviews", params={"state": state})).json()["items"]]
        for state in ("pending", "approved", "rejected")
    }
    assert states["approved"] == [decided]
    assert (len(states["pending"]), states["rejected"]) == (2, [])
    for params in ({"state": "maybe"}, {"cursor": "x"}, {"limit": 0}):
        assert (await chat.tenant.get("/reviews", params=params)).status_code == 422


async def test_a_decision_is_made_once_and_audited(rig: GatewayRig, chat: Chat) -> None:
    await flagged_turn(rig, chat, "one", FLAGGED)
    [review] = (await chat.tenant.get("/reviews")).json()["items"]
    where = f"/reviews/{review['id']}"
    for body in ({"note": "x" * 2_001}, {"note": "\x00"}, {"state": "approved"}, {"withhold": "perhaps"}):
        assert (await chat.tenant.post(f"{where}/reject", json=body)).status_code == 422
    decided = await chat.tenant.post(f"{where}/reject", json={"note": "Rude. 🙃"})
    assert (decided.status_code, decided.json()["state"], decided.json()["note"]) == (200, "rejected", "Rude. 🙃")
    assert decided.json()["decided_by"] == chat.tenant.grant["user"]["id"]
    for action in ("approve", "reject"):
        assert (await chat.tenant.post(f"{where}/{action}", json={})).status_code == 409
    assert (await chat.tenant.post(f"/reviews/{new_uuid()}/approve", json={})).status_code == 404
    events = (await chat.tenant.get("/audit", params={"action": "review.reject"})).json()["items"]
    assert [(event["target_id"], event["details"]["withheld"]) for event in events] == [(review["id"], False)]
    assert "Rude" not in str(events)


async def test_a_withheld_message_is_gone_for_readers_and_for_the_model(rig: GatewayRig, chat: Chat) -> None:
    question, answer = await flagged_turn(rig, chat, "the question", BLOCKED)
    await chat.tenant.call("PUT", path(chat, f"/messages/{answer}/feedback"), json={"rating": "up"})
    [review] = (await chat.tenant.get("/reviews")).json()["items"]
    decided = await chat.tenant.post(f"/reviews/{review['id']}/reject", json={"withhold": True})
    assert decided.status_code == 200
    asked, told = (await chat.tenant.get(path(chat, "/messages"))).json()["items"]
    assert (asked["id"], asked["content"], asked["withheld"]) == (question, "the question", False)
    assert (told["id"], told["content"], told["citations"], told["withheld"]) == (answer, "", [], True)
    [rated] = (await chat.tenant.get(f"/chatbots/{chat.bot}/feedback")).json()["items"]
    assert (rated["question"], rated["answer"]) == ("the question", "")
    tenant_id, turn_id = tenant_id_of(chat), TurnId(UUID(told["turn_id"]))
    record = TurnRecord(rig.services.db, load_models())
    events = await record.replay(tenant_id, SessionId(UUID(chat.session)), turn_id, 0)
    assert [event["k"] for event in events] == ["token", "done"]
    assert events[0]["text"] == ""
    async with tenant_tx(rig.services.db, tenant_id) as tx:
        turns = Turns(tx, tenant_id)
        epoch = await turns.claim_epoch("test")
        ids = TurnId(new_uuid()), MessageId(new_uuid())
        session_id = SessionId(UUID(chat.session))
        accepted = await turns.accept(session_id, Question("next", "and now?"), *ids, epoch, TurnState.RUNNING)
    assert accepted is not None
    assert accepted.turn is not None
    assert accepted.turn.said.history == ()


async def test_a_config_says_what_the_checks_do_and_keeps_the_rest(rig: GatewayRig, chat: Chat) -> None:
    where = f"/chatbots/{chat.bot}/config"
    change = {"guardrails": {"input": {"injection": {"action": "block"}}, "allowed_link_hosts": ["Shop.example.com"]}}
    kept = (await chat.tenant.call("PUT", where, json=change)).json()["config"]["guardrails"]
    assert kept["input"]["injection"] == {"action": "block", "threshold": 0.5, "on_failure": "open", "timeout_ms": 1500}
    assert kept["input"]["rules"]["action"] == "block"
    assert kept["allowed_link_hosts"] == ["shop.example.com"]
    change = {"guardrails": {"output": {"secrets": {"on_failure": "closed"}}}}
    kept = (await chat.tenant.call("PUT", where, json=change)).json()["config"]["guardrails"]
    assert kept["output"]["secrets"]["action"] == "redact"
    assert kept["input"]["injection"]["action"] == "block"
    refused: tuple[dict[str, object], ...] = (
        {"input": []},
        {"input": {"injection": {"action": "redact"}}},
        {"allowed_link_hosts": ["javascript:x"]},
    )
    for wrong in refused:
        assert (await chat.tenant.call("PUT", where, json={"guardrails": wrong})).status_code == 422
