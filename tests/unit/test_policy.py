"""The routing policy orders replicas by room, preference and load, and leaves broken ones out."""

from dataclasses import replace

from deployments.llm.policy import order_candidates
from domain.routing import BreakerState, Candidate

IDLE = Candidate("vllm", "a:1", 0, 0, 0, 4, 8, BreakerState.CLOSED)


def addresses(*candidates: Candidate, limit: int = 3) -> list[str]:
    return [one.address for one in order_candidates(candidates, limit)]


def test_the_preferred_engine_comes_first_even_when_it_is_busier() -> None:
    other = replace(IDLE, engine="openai", address="b:1", preference=1)
    assert addresses(other, replace(IDLE, running=3)) == ["a:1", "b:1"]


def test_an_engine_without_a_free_place_gives_way_to_the_next_preference() -> None:
    other = replace(IDLE, engine="openai", address="b:1", preference=1)
    assert addresses(replace(IDLE, running=4, queued=1), other) == ["b:1", "a:1"]


def test_of_equal_replicas_the_least_loaded_comes_first_and_ties_are_settled_by_address() -> None:
    assert addresses(replace(IDLE, address="c:1"), replace(IDLE, running=2), replace(IDLE, address="b:1")) == [
        "b:1",
        "c:1",
        "a:1",
    ]


def test_load_counts_in_places_not_in_turns() -> None:
    large = replace(IDLE, address="large", running=10, max_running=100)
    assert addresses(replace(IDLE, running=2), large) == ["large", "a:1"]


def test_an_open_breaker_is_left_out_and_a_half_open_one_is_tried_in_its_place() -> None:
    broken = replace(IDLE, address="broken", breaker=BreakerState.OPEN)
    healing = replace(IDLE, address="healing", breaker=BreakerState.HALF_OPEN)
    assert addresses(broken, healing, replace(IDLE, preference=1)) == ["healing", "a:1"]
    assert addresses(broken) == []


def test_full_replicas_are_the_last_resort() -> None:
    full = replace(IDLE, running=4, queued=8)
    assert full.full
    assert addresses(full, replace(IDLE, address="b:1", preference=5, running=4)) == ["b:1", "a:1"]


def test_only_so_many_are_tried() -> None:
    assert addresses(*(replace(IDLE, address=f"{n}") for n in range(9)), limit=2) == ["0", "1"]
