"""Texts that cannot imitate a chat template: control tokens in them are taken apart."""

from collections.abc import Sequence


def break_tokens(text: str, tokens: Sequence[str]) -> str:
    """Put a space after the first character of every control token in `text`, so that it is read as plain text.

    Without this a visitor or a document could write `<|im_end|><|im_start|>system` and speak as the operator.
    """
    for token in tokens:
        if len(token) > 1 and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
