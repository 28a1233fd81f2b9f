"""How long a text an embedding model reads, told by its files."""

import json
from functools import cache
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = 2
"""A start and an end, which a model adds to every text."""


@cache
def embedding_window(weights: str) -> int | None:
    """Tokens of a text that the model reads, its own special ones not counted; None when its files do not say."""
    folder = Path(weights)
    settings = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    truncation = _json(folder / "tokenizer.json").get("truncation") or {}
    for told in (settings, truncation.get("max_length")):
        if type(told) is int and told > SPECIAL_TOKENS:
            return told - SPECIAL_TOKENS
    return None


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
