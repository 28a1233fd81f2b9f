"""The budget race over many seeds: `python -m tests.faults.budget_run [seeds]`, 50 without a number."""

import sys

import pytest

RACE = "tests/integration/test_metering.py::test_a_hundred_turns_on_a_budget_for_ten"


class Seeds:
    def pytest_addoption(self, parser: pytest.Parser) -> None:
        parser.addoption("--race-seeds", dest="race_seeds", type=int, default=50)


def main(seeds: int = 50) -> int:
    return int(pytest.main(["-q", "-p", "no:cacheprovider", f"--race-seeds={seeds}", RACE], plugins=[Seeds()]))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
