"""The check for injections on benign questions full of trigger words (NotInject, Li and Liu 2024)."""

import json
from pathlib import Path

import pytest

from domain.guarding.configuration import InputChecks
from domain.guarding.injection import injection_score

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "injection"


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is not here")
@pytest.mark.parametrize("words", ["one", "two", "three"])
def test_at_most_one_benign_question_in_twenty_would_be_blocked(words: str) -> None:
    questions = [item["prompt"] for item in json.loads((FOLDER / f"NotInject_{words}.json").read_text("utf-8"))]
    blocked = [text for text in questions if injection_score(text) >= InputChecks().injection.threshold]
    assert len(blocked) <= 0.05 * len(questions), blocked
