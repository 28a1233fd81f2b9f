"""Chunking settings: bounded, within the model's window, and told apart by their fingerprint."""

from itertools import combinations
from typing import Any

import pytest
from pydantic import ValidationError

from domain.chatbot import ChatbotConfig
from domain.chunking_config import ChunkingConfig, ChunkingStrategy


@pytest.mark.parametrize(
    "given",
    [
        {"max_tokens": 31},
        {"max_tokens": 8_193},
        {"max_tokens": 100, "overlap_tokens": 51},
        {"max_tokens": 40, "overlap_tokens": 30},
        {"overlap_tokens": -1},
        {"strategy": "random"},
        {"separator": "\n"},
    ],
)
def test_settings_out_of_bounds_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChunkingConfig.model_validate(given)


def test_chunks_are_made_to_fit_a_smaller_window() -> None:
    wide = ChunkingConfig(max_tokens=400, overlap_tokens=150)
    assert wide.within(512) is wide
    assert wide.within(None) is wide
    assert wide.within(254) == ChunkingConfig(max_tokens=254, overlap_tokens=127)


def test_every_difference_makes_another_fingerprint() -> None:
    configs = [
        ChunkingConfig(),
        ChunkingConfig(max_tokens=100),
        ChunkingConfig(overlap_tokens=20),
        ChunkingConfig(strategy=ChunkingStrategy.FIXED),
        ChunkingConfig(respect_sections=False),
        ChunkingConfig(respect_pages=False),
        ChunkingConfig(respect_sections=False, respect_pages=False),
    ]
    found = [config.fingerprint("model") for config in configs] + [ChunkingConfig().fingerprint("other")]
    assert all(one != other for one, other in combinations(found, 2))
    assert ChunkingConfig().fingerprint("model") == ChunkingConfig.model_validate({}).fingerprint("model")


def test_configurations_from_before_have_the_usual_chunking() -> None:
    stored = ChatbotConfig().model_dump(mode="json")
    del stored["chunking"], stored["visitor_sources"]
    assert ChatbotConfig.model_validate(stored) == ChatbotConfig()
