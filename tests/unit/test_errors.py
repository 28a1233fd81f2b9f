"""Errors keep their kind between processes and tell no more than they should."""

import pickle

import pytest

from domain.errors import AppError, NotFound, QuotaExceeded, RateLimited, error_of


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(RateLimited("Slow down.", retry_after=3)))  # our own bytes
    assert isinstance(error, RateLimited)
    assert (error.message, error.retry_after, error.status) == ("Slow down.", 3, 429)


@pytest.mark.parametrize("kind", [NotFound, QuotaExceeded])
def test_an_error_is_rebuilt_from_its_code(kind: type[AppError]) -> None:
    assert type(error_of(kind.code, "x")) is kind


def test_an_unknown_code_is_generic() -> None:
    assert error_of("nonsense", "x").status == 500
