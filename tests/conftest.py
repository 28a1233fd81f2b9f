"""Fixtures that every suite shares."""

pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.stripe_double"]
