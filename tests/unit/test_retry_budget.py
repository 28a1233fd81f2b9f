"""The retry budget: a burst, a floor per second, and a share of the turns."""

from domain.retry_budget import RetryBudget, RetryRules


def test_what_all_turns_need_is_granted_to_a_share_of_them() -> None:
    budget = RetryBudget(RetryRules(share=0.2, per_second=0.0, burst=10.0), clock=lambda: 0.0)
    granted = 0
    for _ in range(1_000):
        budget.turn()
        granted += budget.take()
    assert 195 <= granted <= 215


def test_little_traffic_has_a_floor_and_nothing_is_saved_up_without_end() -> None:
    now = [0.0]
    budget = RetryBudget(RetryRules(share=0.0, per_second=2.0, burst=3.0), clock=lambda: now[0])
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    now[0] += 0.5
    assert [budget.take() for _ in range(2)] == [True, False]
    now[0] += 1_000
    assert [budget.take() for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_jumps_back_grants_nothing() -> None:
    now = [1_000.0]
    budget = RetryBudget(RetryRules(share=0.0, per_second=1.0, burst=1.0), clock=lambda: now[0])
    assert budget.take()
    now[0] = 0.0
    assert not budget.take()
