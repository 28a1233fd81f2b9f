"""Fixtures that every suite shares."""

pytest_plugins = [
    "tests.fixtures.knowledge",
    "tests.fixtures.engines",
    "tests.fixtures.gateway",
    "tests.fixtures.platform",
    "tests.fixtures.provider",
    "tests.fixtures.ray",
    "tests.fixtures.servers",
    "tests.fixtures.streams",
    "tests.fixtures.stripe_double",
]
