"""The routing policy orders replicas by room, preference and load, and leaves broken ones out."""

from dataclasses import replace

from deployments.llm.policy import order_candidates
from domain.routing import BreakerState, Candidate

IDLE = Candidate("vllm", "a:1", 0, 0, 0, 4, 8, BreakerState.CLOSED)


def addresses(*candidates: Candidate, limit: int = 3) -> list[str]:
    return [one.address for one in order_candidates(candidates, limit=limit)]


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


def test_the_chosen_model_comes_first_even_when_its_places_are_taken() -> None:
    other = replace(IDLE, address="b:1", tier=1)
    assert addresses(other, replace(IDLE, running=5)) == ["a:1", "b:1"]
    assert addresses(other, replace(IDLE, running=4, queued=8)) == ["b:1", "a:1"], "a full one is no choice"


def test_a_provider_that_takes_nothing_is_left_out() -> None:
    assert addresses(replace(IDLE, limited_seconds=3.0), replace(IDLE, address="b:1", preference=1)) == ["b:1"]


def test_a_replica_that_often_fails_comes_after_others_of_its_model() -> None:
    assert addresses(replace(IDLE, failing=0.3), replace(IDLE, address="b:1", preference=1)) == ["b:1", "a:1"]
    assert addresses(replace(IDLE, failing=0.3), replace(IDLE, address="b:1", tier=1)) == ["a:1", "b:1"]


def test_a_slow_replica_comes_after_a_quick_one() -> None:
    slow, quick = replace(IDLE, ttft=2.0), replace(IDLE, address="b:1", ttft=0.3, running=2)
    assert addresses(slow, quick, replace(IDLE, address="new")) == ["new", "b:1", "a:1"]
    assert addresses(replace(slow, ttft=0.5), quick) == ["a:1", "b:1"], "a fifth of a second is no reason"


def test_sessions_stay_where_their_prefixes_are_and_spread_over_the_replicas() -> None:
    replicas = [replace(IDLE, address=f"{name}:1", running=load) for name, load in (("a", 0), ("b", 1), ("c", 0))]

    def home(session: str, among: list[Candidate]) -> str:
        return order_candidates(among, session)[0].address

    homes = {f"s{number}": home(f"s{number}", replicas) for number in range(60)}
    assert set(homes.values()) == {"a:1", "b:1", "c:1"}
    assert all(home(session, replicas[::-1]) == address for session, address in homes.items())
    fewer = [one for one in replicas if one.address != "c:1"]
    assert all(home(session, fewer) == address for session, address in homes.items() if address != "c:1")
    fuller = [replace(one, running=3) if one.address == "b:1" else one for one in replicas]
    assert all(home(session, fuller) != "b:1" for session in homes), "but not at any price"


def test_not_all_tries_go_to_one_engine() -> None:
    many = [replace(IDLE, address=f"a:{number}") for number in range(5)]
    assert addresses(*many, replace(IDLE, engine="openai", address="b:1", preference=1)) == ["a:0", "a:1", "b:1"]
