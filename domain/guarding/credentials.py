"""Finds secrets in a text: keys of well-known services and of ours, private keys, tokens, assignments of noise."""

import math
import re
from collections import Counter

from domain.guarding.checks import Span

_KINDS = {
    "access key": r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "API key": r"\b(?:lq_(?:live|test)_[A-Za-z0-9_-]{12,200}|sk-[A-Za-z0-9_-]{20,200}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{12,200}|whsec_[A-Za-z0-9]{16,200}|AIza[A-Za-z0-9_-]{35}"
    r"|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{30,255}"
    r"|glpat-[A-Za-z0-9_-]{20,100}|xox[abeposr]-[A-Za-z0-9-]{10,200}|hf_[A-Za-z0-9]{30,60})",
    "token": r"\beyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,8000}(?:\.[A-Za-z0-9_-]{0,2000})?",
    "private key": r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
}
_PREFIXES = (
    *("AKIA", "ASIA", "lq_live_", "lq_test_", "sk-", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_", "AIza"),
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "hf_", "eyJ"),
    *(f"xox{kind}-" for kind in "abeposr"),
)
_KNOWN = re.compile("|".join(f"({pattern})" for pattern in _KINDS.values()))
_LABELS = tuple(_KINDS)
_NAME = (
    r"(?:api[_-]?key|access[_-]?key|secret[_-]?key|client[_-]?secret|auth[_-]?token|access[_-]?token|secret|token"
    r"|password|passwd|pwd)"
)
_EQUALS = r"[\"'`*]{0,3}\s{0,3}(?:[:=]|:=|=>|\bis\b)\s{0,3}[\"'`*]{0,3}"
_ASSIGNMENT = re.compile(rf"\b{_NAME}{_EQUALS}([A-Za-z0-9+/=_.!@#$%^&~-]{{12,200}})", re.IGNORECASE)
_ASSIGNED = re.compile(rf"\b{_NAME}{_EQUALS}([^\s\"'`,;]{{0,200}})$", re.IGNORECASE)
_HINT = re.compile(r"AKIA|ASIA|lq_|[sr]k[-_]|whsec_|AIza|gh[pousr]_|github_|glpat-|xox|hf_|eyJ|-----B")
_NAMES = re.compile(r"key|secret|token|passw|pwd", re.IGNORECASE)
_RUN_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
_BEGINNINGS = frozenset(prefix[:size] for prefix in _PREFIXES for size in range(1, len(prefix)))
_LONGEST_PREFIX = max(map(len, _PREFIXES))
_ARMOUR = re.compile(r"-{1,5}(?:B(?:E(?:G(?:I(?:N[A-Z0-9 ]{0,40}-{0,5})?)?)?)?)?$")
_WINDOW = 320
MIN_BITS = 3.2
"""Shannon entropy per character of what counts as noise; English words have about 2.5 to 3 at this length."""


class Credentials:
    def find(self, text: str, since: int = 0) -> list[Span]:
        spans = []
        # What waits begins with its hint.
        if _HINT.search(text, since):
            for match in _KNOWN.finditer(text):
                assert match.lastindex is not None
                spans.append(Span(match.start(), match.end(), _LABELS[match.lastindex - 1]))
        if _NAMES.search(text):
            spans += [
                Span(match.start(1), match.end(1), "secret")
                for match in _ASSIGNMENT.finditer(text)
                if is_noise(match[1])
            ]
        return sorted(spans, key=lambda span: span.start)

    def pending(self, text: str) -> int:
        armour = text.rfind("-----BEGIN")
        if armour >= 0 and "PRIVATE KEY" in text[armour : armour + 80]:
            end = text.find("-----END", armour)
            if end < 0 or text.find("-----", end + 8) < 0:
                return armour
        end_of_text = text[-_WINDOW:]
        base = len(text) - len(end_of_text)
        cut = len(text)
        if "-" in end_of_text[-60:] and (match := _ARMOUR.search(end_of_text, max(0, len(end_of_text) - 60))):
            cut = base + match.start()
        run = len(text.rstrip(_RUN_CHARS))
        if run < len(text) and (text[run : run + _LONGEST_PREFIX] in _BEGINNINGS or text.startswith(_PREFIXES, run)):
            cut = min(cut, run)
        if (":" in end_of_text or "=" in end_of_text or "is" in end_of_text) and _NAMES.search(end_of_text):
            match = _ASSIGNED.search(end_of_text)
            if match is not None:
                cut = min(cut, base + match.start(1))
        return cut


def is_noise(value: str) -> bool:
    """Whether nobody would write this as words: letters and digits, of high entropy."""
    if not (any(char.isdigit() for char in value) and any(char.isalpha() for char in value)):
        return False
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values()) >= MIN_BITS
