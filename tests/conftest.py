"""Fixtures that every suite shares."""

pytest_plugins = [
    "tests.fixtures.servers",  # first, for the others import it
    "tests.fixtures.knowledge",
    "tests.fixtures.engines",
    "tests.fixtures.gateway",
    "tests.fixtures.platform",
    "tests.fixtures.provider",
    "tests.fixtures.ray",
    "tests.fixtures.streams",
    "tests.fixtures.stripe_double",
]
