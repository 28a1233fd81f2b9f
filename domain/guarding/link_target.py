"""Finds where the parentheses of a link end, and the address in them."""

import re

from domain.guarding.link_hosts import MAX_URL

REACH = MAX_URL
"""How much text may wait for its end, in characters; what is longer is taken apart."""
_PARENTHESIS = re.compile(r"[()]|\n\n")
_DEEPEST = 8
"""How many parentheses an address may nest, so that hostile text costs no more than its length."""


def closing_place(text: str, at: int, final: bool) -> int | None:
    """The place of the `)` that closes the `(` at `at`; -1 when there is none, None when it may still come."""
    depth = 0
    for mark in _PARENTHESIS.finditer(text, at, at + REACH):
        depth += {"(": 1, ")": -1}.get(mark[0], _DEEPEST)
        if depth == 0:
            return mark.start()
        if depth > _DEEPEST:
            return -1
    return None if len(text) - at < REACH and not final else -1


def target(inside: str) -> str:
    """The address in the parentheses of a link: its first word, without angle brackets; a title goes."""
    first = (inside.split() or [""])[0]
    return first[1:-1] if first.startswith("<") and first.endswith(">") else first
