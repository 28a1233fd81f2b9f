"""When the Python client comes back: jitter, what the server asks for, and close codes."""

import pytest

from cluster.client.backoff import Backoff, CloseAction, close_action, retry_after_of


def test_the_longest_wait_doubles_up_to_a_limit() -> None:
    backoff = Backoff(first=0.25, longest=8, random=lambda: 1.0)
    assert [backoff.delay(attempt) for attempt in range(8)] == [0.25, 0.5, 1, 2, 4, 8, 8, 8]
    assert backoff.delay(10_000) == 8


def test_the_jitter_is_full_and_comes_on_top_of_what_is_asked_for() -> None:
    assert Backoff(random=lambda: 0.0).delay(5) == 0
    assert Backoff(random=lambda: 0.5).delay(1, at_least=3) == 3.25


def test_without_a_source_of_its_own_waits_differ() -> None:
    assert len({Backoff().delay(5) for _ in range(20)}) > 1


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [
        ("retry_after=2", 2),
        (" retry_after=0.5 ", 0.5),
        ("", 0),
        ("retry_after=-1", 0),
        ("retry_after=x", 0),
        ("bye", 0),
    ],
)
def test_a_close_reason_may_ask_for_a_wait(reason: str, seconds: float) -> None:
    assert retry_after_of(reason) == seconds


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 1013, 4999])
def test_most_closes_mean_come_back(code: int) -> None:
    assert close_action(code) is CloseAction.RECONNECT


def test_some_closes_do_not() -> None:
    assert close_action(4401) is CloseAction.SIGN_IN
    assert {close_action(1008), close_action(4403), close_action(4404)} == {CloseAction.GIVE_UP}
