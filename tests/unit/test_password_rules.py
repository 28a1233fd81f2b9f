"""Which passwords are refused, and that everything else is not."""

import pytest

from configs.settings import DEMO_EMAIL, DEMO_PASSWORD
from deployments.gateway.password_rules import MIN_LENGTH, WeakPassword, _commonest, require_good_password

EMAIL = "ada.lovelace@example.org"
COMPANY = "Analytical Engines Ltd"


@pytest.mark.parametrize(
    "password",
    [
        "",
        "xK3$z!q",
        "password",
        "12345678",
        "PASSWORD",
        "iloveyou",
        "ｐａｓｓｗｏｒｄ",
        "aaaaaaaaaaaa",
        "abababababab",
        EMAIL,
        "ada.lovelace",
        "Ada-Lovelace-1815!",
        "example.org",
        "analytical engines ltd",
        "AnalyticalEnginesLtd2026!",
        "loquent1234",
    ],
)
def test_what_everybody_would_guess_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        require_good_password(password, EMAIL, COMPANY)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "пароль с пробелами",
        "🦊🐻🐼🐨🐯🦁🐮🐷",
        "1815-12-10 14:03",
        "ada.lovelace and a fox",
        "x" * 60 + "yz",
        "'; drop table users; --",
    ],
)
def test_any_characters_will_do(password: str) -> None:
    require_good_password(password, EMAIL, COMPANY)


def test_the_demo_has_a_password_that_passes() -> None:
    require_good_password(DEMO_PASSWORD, DEMO_EMAIL, "Aurora Lamps (demo)")


def test_at_least_the_three_thousand_commonest_are_known() -> None:
    """Source: OWASP ASVS 5.0, 6.2.4."""
    assert len(_commonest()) >= 3_000
    assert all(len(word) >= MIN_LENGTH for word in _commonest())
