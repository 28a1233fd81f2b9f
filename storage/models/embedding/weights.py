"""What an embedding model's files say without loading it: the length of its vectors, and its tokens for counting."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from storage.models.encoder_spec import REMOTE
from storage.models.tokenizer import EstimatedTokenCounter


@cache
def embedding_dimension(weights: str) -> int:
    """Length of the vectors, read from the model's files; an unknown layout loads the model to ask it."""
    folder = Path(weights)
    try:
        modules = json.loads((folder / "modules.json").read_text("utf-8"))
        found = [_width(folder / module["path"] / "config.json") for module in modules]
    except (OSError, ValueError, KeyError, TypeError):
        found = []
    widths = [width for width in found if width]
    if widths:
        return widths[-1]
    from storage.models.embedding.sentence_transformer import EmbeddingModel

    return EmbeddingModel(weights, threads=1).dimension


def _width(config: Path) -> int | None:
    if not config.is_file():
        return None
    values = json.loads(config.read_text("utf-8"))
    for key in ("out_features", "word_embedding_dimension", "embedding_dimension", "hidden_size"):
        if isinstance(values.get(key), int):
            return int(values[key])
    return None


@cache
def embedding_token_count(weights: str) -> Callable[[str], int]:
    """Counts tokens as the embedding model does, without its start and end tokens, and without loading torch.

    Of a model that somebody else runs the tokenizer is not known: a third of the UTF-8 bytes, which is too much rather
    than too little.
    """
    if weights.startswith(REMOTE):
        return EstimatedTokenCounter().count
    from tokenizers import Tokenizer

    file = Path(weights) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else Tokenizer.from_pretrained(weights)
    # The file asks for truncation to the model's window; a count needs the whole text.
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
