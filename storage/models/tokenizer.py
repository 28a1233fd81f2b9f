"""Token counts in a model's own tokenizer, and messages that cannot imitate its control tokens."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from configs.settings import Settings
from configs.tables import load_models
from domain.errors import Unavailable
from domain.ports import TokenCounter
from domain.prompt import Window
from domain.prompt_safety import break_tokens
from storage.models.chat_template import template_tokens
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


_ASCII_LETTERS = bytes(range(65, 91)), bytes(range(97, 123))
_HALF_TOKENS = (
    (_ASCII_LETTERS[0], 2),
    (_ASCII_LETTERS[1], 1),
    (b" \t", 1),
    (bytes(one for one in range(128) if one not in b" \t" and not chr(one).isalpha()), 2),
    # What begins a character of two, three and four bytes.
    (bytes(range(0xC0, 0xE0)), 3),
    (bytes(range(0xE0, 0xF0)), 5),
    (bytes(range(0xF0, 0xF8)), 8),
)
"""Halves of a token that each byte of a kind counts: for SmolLM2's tokenizer, whose vocabulary is small, prose in
English comes to twice its tokens, in German to 1.5 times, in Chinese to 1.4, code to 2.4, and digits, base64 and emoji
to what they are or more. Only letters that make no words come to less."""


class CautiousTokenCounter:
    """For a model whose tokenizer is not known or does not load: too many rather than too few."""

    exact = False

    def count(self, text: str) -> int:
        data = text.encode("utf-8", "replace")
        size = len(data)
        return -(-sum((size - len(data.translate(None, kind))) * halves for kind, halves in _HALF_TOKENS) // 2)


_CAUTIOUS = CautiousTokenCounter()


class LocalTokenCounter:
    """Counts as the engine does, with control tokens in the text taken apart."""

    exact = True

    def __init__(self, tokenizer: "Tokenizer", control_tokens: Sequence[str], per_message: int = 0) -> None:
        self.per_message = per_message
        """What the model's template was measured to add to each; 0 where nobody knows."""
        self._tokenizer = tokenizer
        self._control_tokens = tuple(control_tokens)

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(break_tokens(text, self._control_tokens), add_special_tokens=False).ids)


def count_factor(counter: TokenCounter) -> int:
    """How many tokens an engine may count for each of the counter's, at most: a byte is one at most, and the cautious
    counter has half of one for each at least."""
    return 1 if counter.exact else 2


def tokens_per_message(counter: TokenCounter) -> int:
    """What the template of the counter's model adds to each message, 0 where that is not known."""
    if isinstance(counter, LargestTokenCounter):
        return max(map(tokens_per_message, counter.counters))
    return counter.per_message if isinstance(counter, LocalTokenCounter) else 0


class LargestTokenCounter:
    """What the greediest of several tokenizers needs."""

    def __init__(self, counters: Sequence[TokenCounter]) -> None:
        self.counters = counters

    @property
    def exact(self) -> bool:
        return all(counter.exact for counter in self.counters)

    def count(self, text: str) -> int:
        return max(counter.count(text) for counter in self.counters)


def load_token_counter(settings: Settings, model_key: str) -> TokenCounter:
    """The counter of a name of models.yaml (`default` too); raises InvalidInput for an unknown one. Cached.

    A route's is right for any of its models: it says the largest of their counts. A model without a tokenizer that
    loads gets one that counts too much: no turn fails by it.
    """
    key = settings.default_model if model_key == "default" else model_key
    kinds = {spec.weights for spec in load_models(settings.models_file).models_behind(key).values()}
    counters = tuple(_counter_of(settings, weights) for weights in sorted(kinds, key=str))
    return counters[0] if len(counters) == 1 else _largest(counters)


@cache
def _largest(counters: tuple[TokenCounter, ...]) -> LargestTokenCounter:
    return LargestTokenCounter(counters)


def _counter_of(settings: Settings, weights: str | None) -> TokenCounter:
    if weights is None:
        return _CAUTIOUS
    try:
        return _load_counter(resolve_weights(settings, weights))
    except Unavailable:
        # Prepared later, perhaps: it is looked for again.
        _say_once(weights, "Unavailable")
        return _CAUTIOUS


def load_window(settings: Settings, model_key: str, counter: TokenCounter) -> Window:
    """The limits of a name of models.yaml (`default` too), a route's smallest, as its counter measures; raises
    InvalidInput for an unknown one. A template that adds more than models.yaml says is believed."""
    key = settings.default_model if model_key == "default" else model_key
    context, per_message = load_models(settings.models_file).window(key)
    return Window(context, max(per_message, tokens_per_message(counter)), count_factor(counter))


def control_tokens(folder: Path) -> tuple[str, ...]:
    """The special tokens of a `tokenizer.json` in `folder`; none when there is no such file."""
    try:
        added = json.loads((folder / "tokenizer.json").read_text("utf-8")).get("added_tokens", [])
    except (OSError, ValueError):
        return ()
    return tuple(token["content"] for token in added if token.get("special"))


@cache
def _say_once(weights: str, error: str) -> None:
    log.warning("tokenizer.not_loaded", weights=weights, error=error)


@cache
def _load_counter(weights: str) -> TokenCounter:
    from tokenizers import Tokenizer

    folder = Path(weights)
    try:
        if folder.exists():
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            special: Sequence[str] = control_tokens(folder)
        else:
            tokenizer = Tokenizer.from_pretrained(weights)
            special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    except Exception as error:  # noqa: BLE001 - whatever the library or its HTTP client raises
        _say_once(weights, type(error).__name__)
        return _CAUTIOUS
    # A file may ask for the window of training; a count needs the whole text.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    per_message = 0
    if folder.exists():
        per_message = template_tokens(folder, lambda text: len(tokenizer.encode(text, add_special_tokens=True).ids))
    return LocalTokenCounter(tokenizer, special, per_message)
