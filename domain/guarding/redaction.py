"""Takes what checks find out of a text while it streams: what may be the beginning of a find waits."""

from collections.abc import Sequence

from domain.guarding.checks import Span, SpanCheck

CONTEXT = 64
"""Characters before the new text that a check sees too, so that it knows where words begin."""
LONGEST_WAIT = 8_000
"""Characters that may wait for the end of a find: a private key is the longest that there is."""


def replacement(span: Span) -> str:
    return f"‹{span.label} removed›"


def redacted(text: str, spans: Sequence[Span]) -> str:
    """`spans` in order; of those that overlap the first counts."""
    parts, at = [], 0
    for span in spans:
        if span.start >= at:
            parts += [text[at : span.start], replacement(span)]
            at = span.end
    return "".join([*parts, text[at:]])


def found_by(checks: Sequence[SpanCheck], text: str, since: int = 0) -> list[Span]:
    """What all of them find, in order, without overlaps."""
    spans = sorted(
        (span for check in checks for span in check.find(text, since)), key=lambda span: (span.start, -span.end)
    )
    kept: list[Span] = []
    for span in spans:
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


class Redactor:
    def __init__(self, check: SpanCheck) -> None:
        self._check = check
        self._before = ""
        self.held = ""
        """Text that is not shown yet."""
        self.found = 0
        """How many finds were taken out."""

    def feed(self, text: str) -> str:
        """What can be shown by now."""
        self.held += text
        cut = self._check.pending(self._before + self.held) - len(self._before)
        return self._release(max(cut, len(self.held) - LONGEST_WAIT))

    def finish(self) -> str:
        return self._release(len(self.held))

    def _release(self, cut: int) -> str:
        if cut <= 0:
            return ""
        known = len(self._before)
        window = self._before + self.held
        parts, at, end = [], known, known + cut
        for span in found_by([self._check], window, known):
            if span.start >= end:
                break
            if span.end <= at:
                continue
            if span.end > end:
                # It may be longer yet.
                end = max(span.start, at)
                break
            if span.start >= known:
                parts += [window[at : span.start], replacement(span)]
                self.found += 1
            # Of a find that goes on after the longest wait, the rest goes without a word.
            at = span.end
        parts.append(window[at:end])
        end = max(end, at)
        self.held = window[end:]
        self._before = window[:end][-CONTEXT:]
        return "".join(parts)
