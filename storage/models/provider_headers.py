"""What the headers of a model provider say about when it takes more: hints to wait, and limits that are used up."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_PAUSE = 120.0
"""Seconds; what a provider asks for beyond that is tried again all the same."""
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?")
_OPENAI = re.compile(r"x-ratelimit-remaining-([a-z-]{1,40})")
_ANTHROPIC = re.compile(r"anthropic-ratelimit-([a-z-]{1,40})-remaining")


def asked_pause(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `retry-after-ms` or `retry-after`, the latter in seconds or as a date; None without a hint."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    hint = headers.get("retry-after", "")
    seconds = _number(hint)
    if seconds is None and hint:
        seconds = _until(_date(hint), headers)
    return None if seconds is None else _bounded(seconds)


def used_up(headers: Mapping[str, str]) -> float | None:
    """Seconds until a limit that is used up begins anew; None while every limit has something left.

    Sources: the rate limit headers of OpenAI (`x-ratelimit-remaining-requests`, resets as `6m0s` or `20ms`) and of
    Anthropic (`anthropic-ratelimit-tokens-remaining`, resets as RFC 3339).
    """
    pauses = [_bounded(seconds) for seconds in _resets(headers) if seconds is not None]
    return max(pauses, default=None)


def _resets(headers: Mapping[str, str]) -> Iterator[float | None]:
    for name in headers:
        key = name.lower()
        if found := _OPENAI.fullmatch(key):
            if _is_empty(headers[name]):
                yield _duration(headers.get(f"x-ratelimit-reset-{found[1]}", ""))
        elif (found := _ANTHROPIC.fullmatch(key)) and _is_empty(headers[name]):
            yield _until(_date(headers.get(f"anthropic-ratelimit-{found[1]}-reset", "")), headers)


def _is_empty(value: str) -> bool:
    number = _number(value)
    return number is not None and number <= 0


def _duration(text: str) -> float | None:
    found = _DURATION.fullmatch(text.strip())
    if not text.strip():
        return None
    if found is None:
        return _number(text)
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds + milliseconds / 1000


def _date(text: str) -> datetime | None:
    try:
        parse = datetime.fromisoformat if text[:4].isdigit() else parsedate_to_datetime
        found = parse(text.strip())
    except (ValueError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _until(moment: datetime | None, headers: Mapping[str, str]) -> float | None:
    """By the provider's own clock, where it tells the time: ours may be wrong."""
    if moment is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return (moment - now).total_seconds()


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number == number and abs(number) != float("inf") else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_PAUSE)
