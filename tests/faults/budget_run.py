"""The budget race over many seeds: `python -m tests.faults.budget_run [seeds]`, 50 without a number.

Writes how many there were and how many broke a rule of tests/fixtures/budget_race.py into benchmarks/RESULTS.md.
"""

import sys
from datetime import UTC, datetime

import pytest

RACE = "tests/integration/test_metering.py::test_a_hundred_turns_on_a_budget_for_ten"
SECTION = "budget_race"
TITLE = "A hundred turns at once on a budget for ten, by seed"
EXPLANATION = (
    "A race is exact when ten turns ran at once and none was refused that would have fitted, nothing was used beyond"
    " the budget, ledger, live actor and engine agree to the token, and nothing stays reserved; a tenth of the attempts"
    " broke off, a fifth failed, and some turns were stopped."
)


class Seeds:
    """Gives the seeds, and counts what became of them."""

    def __init__(self) -> None:
        self.races = 0
        self.inexact = 0

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        parser.addoption("--race-seeds", dest="race_seeds", type=int, default=50)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.races += 1
            self.inexact += report.failed


def main(seeds: int = 50) -> int:
    counted = Seeds()
    code = int(pytest.main(["-q", "-p", "no:cacheprovider", f"--race-seeds={seeds}", RACE], plugins=[counted]))
    # Only now: pytest rewrites the modules of the tests when it imports them first.
    from tests.faults.report import replace_section

    head = f"`python -m tests.faults.budget_run {seeds}`, {datetime.now(UTC).date().isoformat()}."
    figures = f"{counted.races} races, {counted.inexact} of them not exact."
    replace_section(SECTION, f"## {TITLE}\n\n{head}\n\n{EXPLANATION} {figures}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
