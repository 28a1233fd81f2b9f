"""Breakers open after failures in a row, probe once, and forget with a success."""

from deployments.llm.breaker import Breaker, BreakerBoard, BreakerRules
from domain.routing import BreakerState

RULES = BreakerRules(failures_to_open=3, cool_down_seconds=5, longest_cool_down_seconds=15, probe_seconds=20)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def state_of(breaker: Breaker) -> BreakerState:
    """The state as a call, because time changes what the type checker takes for fixed."""
    return breaker.state


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(RULES, clock)
    for _ in range(3):
        breaker.record(ok=False)
    assert state_of(breaker) is BreakerState.OPEN
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(RULES, Clock())
    for ok in (False, False, True, False, False):
        breaker.record(ok)
    assert state_of(breaker) is BreakerState.CLOSED
    breaker.record(ok=False)
    assert state_of(breaker) is BreakerState.OPEN


def test_after_the_cool_down_one_probe_goes_through_and_nobody_joins_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5
    assert state_of(breaker) is BreakerState.HALF_OPEN
    breaker.start_probe()
    assert state_of(breaker) is BreakerState.OPEN
    breaker.record(ok=True)
    assert state_of(breaker) is BreakerState.CLOSED


def test_a_probe_that_never_reports_frees_its_place() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5
    breaker.start_probe()
    clock.now += 20
    assert state_of(breaker) is BreakerState.HALF_OPEN


def test_every_failed_probe_doubles_the_cool_down_up_to_the_longest() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5
    for cool_down in (10, 15, 15):
        breaker.start_probe()
        breaker.record(ok=False)
        clock.now += cool_down - 1
        assert state_of(breaker) is BreakerState.OPEN
        clock.now += 1
        assert state_of(breaker) is BreakerState.HALF_OPEN


def test_late_failures_of_earlier_attempts_do_not_prolong_an_open_breaker() -> None:
    clock = Clock()
    breaker = opened(clock)
    for _ in range(10):
        breaker.record(ok=False)
    clock.now += 5
    assert state_of(breaker) is BreakerState.HALF_OPEN


def test_a_board_keeps_replicas_apart_and_forgets_those_that_left() -> None:
    clock = Clock()
    board = BreakerBoard(RULES, clock)
    for _ in range(3):
        board.record("vllm", "a:1", ok=False)
    assert board.state("vllm", "a:1") is BreakerState.OPEN
    assert board.state("vllm", "b:1") is BreakerState.CLOSED
    assert board.state("openai", "a:1") is BreakerState.CLOSED
    board.forget_absent(set())
    assert board.state("vllm", "a:1") is BreakerState.OPEN  # it may come back within its cool-down
    clock.now += 5
    board.forget_absent({("vllm", "a:1")})
    assert board.state("vllm", "a:1") is BreakerState.HALF_OPEN
    board.forget_absent(set())
    assert board.state("vllm", "a:1") is BreakerState.CLOSED
