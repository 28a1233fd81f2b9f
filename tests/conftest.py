"""Fixtures that every suite shares."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytest_plugins = [
    "tests.fixtures.servers",  # first, for the others import it
    "tests.fixtures.audit",
    "tests.fixtures.chat",
    "tests.fixtures.client_stage",
    "tests.fixtures.knowledge",
    "tests.fixtures.generations",
    "tests.fixtures.desk",
    "tests.fixtures.engines",
    "tests.fixtures.gateway",
    "tests.fixtures.identity_provider",
    "tests.fixtures.mail",
    "tests.fixtures.platform",
    "tests.fixtures.provider",
    "tests.fixtures.provider_engines",
    "tests.fixtures.ray",
    "tests.fixtures.scripted_pipeline",
    "tests.fixtures.second_factor",
    "tests.fixtures.streams",
    "tests.fixtures.stripe_double",
    "tests.fixtures.web_server",
    "tests.fixtures.site",
    "tests.fixtures.erasure",  # last, for it imports others
]

ORDER = (
    "unit",
    "test_architecture.py",
    "test_asvs.py",
    "test_secrets.py",
    "migration",
    "integration",
    "acceptance",
    "faults",
)
"""What is quick and explains a failure best comes first; the whole platform runs at the end, with little beside it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: ORDER.index(item.path.relative_to(HERE).parts[0]))
