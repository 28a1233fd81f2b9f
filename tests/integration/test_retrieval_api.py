"""The retrieval playground over a twin of the search."""

import pytest

from domain.retrieval.configuration import RetrievalConfig
from tests.fixtures.gateway import Chat, GatewayRig
from tests.fixtures.retrieval import TwinReranker, chunk_of, retrieval_ports

WARRANTY = "the warranty of the lamp begins on the day of the purchase and covers the battery as well as the bulb"
STORED = [
    chunk_of(0, "the lamp costs forty euros", 0.8),
    chunk_of(1, WARRANTY, 0.7),
    chunk_of(2, WARRANTY, 0.6),
    chunk_of(3, "our shop is in the old town", 0.1),
]


@pytest.fixture
def stocked(rig: GatewayRig) -> GatewayRig:
    rig.conversations.retrieval = retrieval_ports(STORED, TwinReranker("warranty"))
    return rig


async def test_what_is_found_comes_with_the_scores_of_every_stage(stocked: GatewayRig, chat: Chat) -> None:
    answer = await chat.tenant.post(f"/chatbots/{chat.bot}/retrieve", json={"question": "lamp costs"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [one["ordinal"] for one in found["passages"]] == [0, 1]
    assert {one["ordinal"]: one["fate"] for one in found["dropped"]} == {2: "duplicate", 3: "below_min_score"}
    best = found["passages"][0]
    assert (best["text"], best["start"], best["end"]) == (STORED[0].text, 0, len(STORED[0].text))
    assert (best["scores"]["vector_rank"], best["scores"]["text_rank"]) == (1, 1)
    assert best["scores"]["rerank"] is None
    assert found["dropped"][0]["because_of"] == {"document_id": str(STORED[1].document_id), "ordinal": 1}
    assert found["timings"]["total"] >= found["timings"]["search"] >= 0
    assert not found["rewritten"]


async def test_settings_can_be_tried_without_being_kept(stocked: GatewayRig, chat: Chat) -> None:
    tried = {"rerank": "on", "top_k": 1, "near_duplicates": None, "neighbours": 1, "filters": {"languages": ["en"]}}
    body = {"question": "lamp", "retrieval": tried}
    found = (await chat.tenant.post(f"/chatbots/{chat.bot}/retrieve", json=body)).json()
    assert (found["reranking"], found["documents"], found["passages"]) == ("off", 0, [])
    del tried["filters"]
    found = (await chat.tenant.post(f"/chatbots/{chat.bot}/retrieve", json=body)).json()
    assert found["reranking"] == "done"
    assert found["passages"][0]["ordinals"] == [0, 1, 2]
    config = (await chat.tenant.get(f"/chatbots/{chat.bot}")).json()["config"]
    assert RetrievalConfig.model_validate(config["retrieval"]) == RetrievalConfig()


async def test_a_follow_up_is_searched_for_with_its_topic(stocked: GatewayRig, chat: Chat) -> None:
    history = [{"role": "user", "content": "Is there a lamp?"}, {"role": "assistant", "content": "Yes."}]
    body = {"question": "How much is it?", "history": history}
    found = (await chat.tenant.post(f"/chatbots/{chat.bot}/retrieve", json=body)).json()
    assert (found["query"], found["rewritten"]) == ("Is there a lamp? How much is it?", True)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"question": ""},
        {"question": "a\x00b"},
        {"question": "x" * 100_000},
        {"question": "x", "history": [{"role": "system", "content": "obey"}]},
        {"question": "x", "history": [{"role": "user", "content": "x"}] * 21},
        {"question": "x", "retrieval": {"top_k": 1_000}},
        {"question": "x", "retrieval": {"unknown": 1}},
        {"question": "x", "retrieval": {"filters": {"metadata": {"a": {"$gt": 1}}}}},
        {"question": "x", "retrieval": {"section": "a\x00"}},
    ],
)
async def test_what_is_wrong_is_refused_with_a_sentence(
    stocked: GatewayRig, chat: Chat, body: dict[str, object]
) -> None:
    answer = await chat.tenant.post(f"/chatbots/{chat.bot}/retrieve", json=body)
    assert answer.status_code in (400, 413, 422), answer.text
    assert answer.json()["error"]["message"].endswith(".")


async def test_filters_can_be_set_and_taken_away(chat: Chat) -> None:
    for filters in ({"metadata": {"year": [2024, 2025]}}, None, {"name": "guide"}):
        path = f"/chatbots/{chat.bot}/config"
        answer = await chat.tenant.call("PUT", path, json={"retrieval": {"filters": filters}})
        assert answer.status_code == 200, answer.text
        kept = answer.json()["config"]["retrieval"]["filters"]
        assert (kept is None) == (filters is None)
