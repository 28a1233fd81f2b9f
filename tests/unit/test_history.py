"""What is remembered of a replica's attempts, and how it fades."""

import pytest

from deployments.llm.history import HALF_LIFE_SECONDS, STALE_SECONDS, History

PLACE = ("engine", "a:1")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def history(clock: Clock) -> History:
    return History(clock)


def test_nothing_is_known_of_a_new_replica(history: History) -> None:
    assert (history.failing(PLACE), history.ttft(PLACE)) == (0.0, None)


def test_failures_weigh_and_are_forgiven(history: History, clock: Clock) -> None:
    for _ in range(30):
        history.record(PLACE, succeeded=7)
        history.record(PLACE, failed=3)
    failing = history.failing(PLACE)
    assert 0.2 < failing < 0.6
    clock.now += HALF_LIFE_SECONDS
    assert history.failing(PLACE) == pytest.approx(failing / 2)
    history.record(PLACE, succeeded=1_000_000)
    assert history.failing(PLACE) < 0.001


def test_the_time_to_first_token_follows_slowly_and_gets_old(history: History, clock: Clock) -> None:
    history.record(PLACE, 1, ttft=1.0)
    history.record(PLACE, 1, ttft=2.0)
    assert history.ttft(PLACE) == pytest.approx(1.1)
    clock.now += STALE_SECONDS + 1
    assert history.ttft(PLACE) is None
    history.record(PLACE, 1, ttft=3.0)
    assert history.ttft(PLACE) == 3.0


@pytest.mark.parametrize("absurd", [-1.0, 1e9, float("nan"), float("inf")])
def test_absurd_times_are_left_out(history: History, absurd: float) -> None:
    history.record(PLACE, 1, ttft=absurd)
    assert history.ttft(PLACE) is None


def test_a_clock_that_goes_back_makes_nothing_worse(history: History, clock: Clock) -> None:
    history.record(PLACE, failed=5)
    before = history.failing(PLACE)
    clock.now -= 1_000
    assert history.failing(PLACE) == before


def test_replicas_that_left_are_forgotten(history: History) -> None:
    history.record(PLACE, failed=5)
    history.forget_absent(set())
    assert history.failing(PLACE) == 0.0
