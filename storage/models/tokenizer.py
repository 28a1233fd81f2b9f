"""Token counts in a model's own tokenizer, and messages that cannot imitate its control tokens."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from configs.settings import Settings
from configs.tables import load_models
from domain.ports import TokenCounter
from domain.prompt_safety import break_tokens
from storage.models.store import resolve_weights

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = structlog.get_logger(__name__)

BYTES_PER_TOKEN = 3
"""English prose has about 4 bytes per token in common tokenizers, so this overestimates it by a third."""


class EstimatedTokenCounter:
    """For providers that keep their tokenizer: the UTF-8 length divided by three, rounded up."""

    def count(self, text: str) -> int:
        return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


class LocalTokenCounter:
    """Counts as the engine does, with control tokens in the text taken apart."""

    def __init__(self, tokenizer: "Tokenizer", control_tokens: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._control_tokens = tuple(control_tokens)

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(break_tokens(text, self._control_tokens), add_special_tokens=False).ids)


def count_factor(counter: TokenCounter) -> int:
    """How many tokens an engine may count for each of the counter's, at most: a byte is one at most."""
    if isinstance(counter, LargestTokenCounter):
        return max(count_factor(one) for one in counter.counters)
    return BYTES_PER_TOKEN if isinstance(counter, EstimatedTokenCounter) else 1


class LargestTokenCounter:
    """What the greediest of several tokenizers needs."""

    def __init__(self, counters: Sequence[TokenCounter]) -> None:
        self.counters = counters

    def count(self, text: str) -> int:
        return max(counter.count(text) for counter in self.counters)


def load_token_counter(settings: Settings, model_key: str) -> TokenCounter:
    """The counter of a name of models.yaml (`default` too); raises InvalidInput for an unknown one. Cached.

    A route's is right for any of its models: it says the largest of their counts.
    """
    key = settings.default_model if model_key == "default" else model_key
    kinds = {spec.weights for spec in load_models(settings.models_file).models_behind(key).values()}
    if kinds == {None}:
        return EstimatedTokenCounter()
    local = [_load_counter(resolve_weights(settings, weights)) for weights in sorted(filter(None, kinds))]
    counters: list[TokenCounter] = [EstimatedTokenCounter(), *local] if None in kinds else local
    return counters[0] if len(counters) == 1 else LargestTokenCounter(counters)


def control_tokens(folder: Path) -> tuple[str, ...]:
    """The special tokens of a `tokenizer.json` in `folder`; none when there is no such file."""
    try:
        added = json.loads((folder / "tokenizer.json").read_text("utf-8")).get("added_tokens", [])
    except (OSError, ValueError):
        return ()
    return tuple(token["content"] for token in added if token.get("special"))


@cache
def _load_counter(weights: str) -> TokenCounter:
    from tokenizers import Tokenizer

    file = Path(weights) / "tokenizer.json"
    if file.is_file():
        return LocalTokenCounter(Tokenizer.from_file(str(file)), control_tokens(Path(weights)))
    if Path(weights).exists():
        return EstimatedTokenCounter()
    try:
        tokenizer = Tokenizer.from_pretrained(weights)
    except Exception as error:  # noqa: BLE001 - whatever its HTTP client raises
        log.warning("tokenizer_not_found", weights=weights, error=type(error).__name__)
        return EstimatedTokenCounter()
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    return LocalTokenCounter(tokenizer, special)
