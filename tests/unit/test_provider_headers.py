"""What providers' headers say about waiting, in all their spellings, and what of it is nonsense."""

import pytest
from httpx import Headers

from deployments.llm.provider_limits import ProviderLimits
from storage.models.provider_headers import LONGEST_PAUSE, asked_pause, used_up

NOON = "Sat, 28 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Sat, 28 Nov 2026 12:00:30 GMT", "date": NOON}, 30.0),
        ({"retry-after": "Sat, 28 Nov 2026 11:00:00 GMT", "date": NOON}, 0.0),
        ({"retry-after": "86400"}, LONGEST_PAUSE),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9999-99-99"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
    ids=str,
)
def test_a_hint_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_pause(Headers(headers)) == seconds


def openai(remaining: str, reset: str) -> dict[str, str]:
    return {"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": reset}


def anthropic(remaining: str, reset: str) -> dict[str, str]:
    name = "anthropic-ratelimit-input-tokens"
    return {f"{name}-remaining": remaining, f"{name}-reset": reset, "date": NOON}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (openai("0", "1s"), 1.0),
        (openai("0", "1m6.5s"), 66.5),
        (openai("0", "20ms"), 0.02),
        (openai("0", "2"), 2.0),
        (openai("0", "6h0m0s"), LONGEST_PAUSE),
        (openai("1", "1s"), None),
        (openai("0", ""), None),
        (openai("0", "soon"), None),
        (openai("many", "1s"), None),
        (anthropic("0", "2026-11-28T12:00:09Z"), 9.0),
        (anthropic("0", "2026-11-28T11:00:00Z"), 0.0),
        (anthropic("7", "2026-11-28T12:00:09Z"), None),
        (anthropic("0", "yesterday"), None),
        (openai("0", "1s") | {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "3s"}, 3.0),
    ],
    ids=str,
)
def test_a_limit_that_is_used_up(headers: dict[str, str], seconds: float | None) -> None:
    assert used_up(Headers(headers)) == seconds


def test_limits_are_kept_by_model_until_they_are_over() -> None:
    now = [0.0]
    limits = ProviderLimits(lambda: now[0])
    limits.answered("m", openai("5", "1s"))
    assert (limits.remaining(), limits.changed.is_set()) == ({}, False)
    limits.answered("m", openai("0", "2s"))
    limits.refused("n", {"retry-after": "9"})
    assert (limits.remaining(), limits.changed.is_set()) == ({"m": 2.0, "n": 9.0}, True)
    now[0] = 3.0
    assert limits.remaining() == {"n": 6.0}


def test_refusals_without_a_hint_make_longer_and_longer_pauses_until_an_answer() -> None:
    now = [0.0]
    limits = ProviderLimits(lambda: now[0])
    pauses = []
    for _ in range(7):
        limits.refused("m", {})
        pauses.append(limits.remaining()["m"])
        now[0] += pauses[-1]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    limits.answered("m", {})
    limits.refused("m", {})
    assert limits.remaining() == {"m": 1.0}
