"""Takes links, pictures and HTML out of an answer while it streams, but for links to allowed hosts.

It does not try to parse Markdown as every renderer does. It takes apart what all of them need to make a link: `](`,
`]:`, `<` before a name, and `scheme://` or `www.` in a word; words are looked at as a renderer decodes them. Only a
fenced block of code that begins in the first column is left as it is, because renderers agree about nothing else.
"""

import re
from collections.abc import Iterable

from domain.guarding.addresses import REMOVED, Addresses, is_address, may_be_address, may_begin
from domain.guarding.html_tags import kept_tag, shown_of_tag
from domain.guarding.link_hosts import LinkHosts
from domain.guarding.link_target import REACH, closing_place, target

_ORDINARY = re.compile(r"[A-Za-z0-9 ,.;?'()]*")
_PLAIN = re.compile(r"(?:[^\[\]<!\n]|!(?!\[))+")
_LABEL = re.compile(r"!?\[((?:[^\[\]\n]|\n(?!\s*\n)){0,500})\]")
_TOKEN = re.compile(r"\s+|\S+")
_BRACKET, _ANGLE = re.compile(r"[\[\]]"), re.compile(r"[<>]")
_FENCE = re.compile(r"([ \t>*+\-0-9.)]{0,40})(`{1,60}|~{1,60})?")
_OPENING = re.compile(r"(`{3,}|~{3,})([\w+#.:= -]{0,60})\n")
_STRAY_FENCE = re.compile(r"[ \t>*+\-0-9.)]*(?:```|~~~)")


class LinkFilter:
    def __init__(self, hosts: Iterable[str] | LinkHosts) -> None:
        self._hosts = hosts if isinstance(hosts, LinkHosts) else LinkHosts(hosts)
        self._addresses = Addresses(self._hosts)
        self._held = ""
        self._out: list[str] = []
        self._word = ""
        """The end of what came out, since the last white space; at most REACH characters."""
        self._line = ""
        """The beginning of the line that is coming out; at most 80 characters."""
        self._fence = ""
        """The characters that opened the block of code that we are in."""
        self._fences = True
        """Whether blocks of code can still be told; when a renderer may see one that we do not, they cannot."""
        self._apart_next = False
        """Whether the next word has to be set apart from what came out: they were not side by side."""
        self.removed = 0
        """Addresses and tags that were taken out."""

    def feed(self, text: str) -> str:
        """What can be shown by now; the rest waits for the text that decides about it."""
        if self._is_ordinary(text):
            return text
        return self._run(self._held + text, final=False)

    def _is_ordinary(self, text: str) -> bool:
        """Whether these are words in the middle of a line, as most pieces of an answer: nothing has to be looked at."""
        if self._held or self._fence or not self._line or self._apart_next or not _ORDINARY.fullmatch(text):
            return False
        _, space, last = text.rpartition(" ")
        word = last if space else self._word + text
        seen = (self._word[-3:] + text).lower()
        if "ww" in seen or may_begin(word) or not _ORDINARY.fullmatch(self._word):
            return False
        self._word = word[-REACH:]
        self._line = (self._line + text)[:80]
        return True

    def finish(self) -> str:
        return self._run(self._held, final=True)

    def _run(self, text: str, final: bool) -> str:
        at = 0
        while at < len(text):
            after = self._step(text, at, final)
            if after is None:
                break
            at = after
        self._held = text[at:]
        shown = "".join(self._out)
        self._out.clear()
        return shown

    def _step(self, text: str, at: int, final: bool) -> int | None:
        """Take one piece of text from `at`; where the next begins, or None when it has to wait."""
        if self._fence:
            return self._code(text, at, final)
        if not self._line:
            after = self._line_start(text, at, final)
            if after is None or after > at:
                return after
        char = text[at]
        if char == "\n":
            self._verbatim(char)
            return at + 1
        if char == "[" or text.startswith("![", at):
            return self._link(text, at, final)
        if char == "]":
            return self._closing(text, at, final)
        if char == "<":
            return self._tag(text, at, final)
        return self._words(text, at, final)

    def _line_start(self, text: str, at: int, final: bool) -> int | None:
        """The opening line of a block of code; `at` when there is none."""
        match = _FENCE.match(text, at)
        assert match is not None
        if match.end() == len(text) and not final and match.end() - at < 60:
            return None
        prefix, marks = match[1], match[2] or ""
        if len(marks) < 3 or prefix or not self._fences:
            return at
        opening = _OPENING.match(text, at)
        if opening is None:
            return None if text.find("\n", at) < 0 and not final and len(text) - at < REACH else at
        self._verbatim(opening[0])
        self._fence = opening[1]
        return opening.end()

    def _code(self, text: str, at: int, final: bool) -> int | None:
        """Code comes out as it is, up to the line that closes it."""
        end = text.find("\n", at)
        line = text[at:] if end < 0 else text[at:end]
        if not self._line:
            bare = line.strip(" \t")
            closes = bare == self._fence[0] * len(bare) and len(line) - len(line.lstrip(" ")) <= 3
            if end < 0 and closes and not final and len(line) < REACH:
                return None
            if end >= 0 and closes and len(bare) >= len(self._fence):
                self._fence = ""
                self._out.append(line + "\n")
                self._line = self._word = ""
                return end + 1
        whole = line if end < 0 else line + "\n"
        self._out.append(whole)
        self._line = "" if end >= 0 else (self._line + line)[:80]
        self._word = ""
        return at + len(whole)

    def _link(self, text: str, at: int, final: bool) -> int | None:
        """`[label](address)` and pictures become their label; brackets that are no link stay."""
        match = _LABEL.match(text, at)
        rest = len(text) - at
        if match is None:
            inside = text.find("[", at) + 1
            if not final and rest < REACH and not _BRACKET.search(text, inside):
                return None
        elif match.end() == len(text) and not final:
            return None
        elif text.startswith("(", match.end()):
            close = closing_place(text, match.end(), final)
            if close is None:
                return None
            if close > 0:
                return self._put_link(text[at : match.start(1)], match[1], text[match.end() + 1 : close], close)
        self._put(text[at])
        return at + 1

    def _put_link(self, opening: str, label: str, destination: str, close: int) -> int:
        inner = LinkFilter(self._hosts)
        shown = inner.feed(label) + inner.finish()
        self.removed += inner.removed
        url = target(destination)
        if self._hosts.allow(url):
            self._put(opening)
            self._put(shown)
            self._verbatim(f"]({url})")
        else:
            self.removed += 1
            self._apart()
            self._put(shown)
            self._apart_next = True
        if "\n" in label:
            self._fences = False
        return close + 1

    def _closing(self, text: str, at: int, final: bool) -> int | None:
        """`](` and `]:` outside a simple link: nested brackets, long labels, definitions."""
        if at + 1 == len(text) and not final:
            return None
        following = text[at + 1 : at + 2]
        if following == "(":
            close = closing_place(text, at + 1, final)
            if close is None:
                return None
            if close < 0:
                self._put("] (")
                return at + 2
            url = target(text[at + 2 : close])
            if self._hosts.allow(url):
                self._verbatim(f"]({url})")
            else:
                self.removed += 1
                self._put("]")
                self._apart_next = True
            return close + 1
        if following == ":":
            self._put("] :")
            return at + 2
        self._put("]")
        return at + 1

    def _tag(self, text: str, at: int, final: bool) -> int | None:
        """HTML and `<address>`; `<` before anything else is less-than."""
        if at + 1 == len(text) and not final:
            return None
        following = text[at + 1 : at + 2]
        if not (following.isalpha() or following in ("/", "!", "?")):
            self._put("<")
            return at + 1
        mark = _ANGLE.search(text, at + 1, at + REACH)
        if mark is None and len(text) - at < REACH and not final:
            return None
        inner = text[at + 1 : mark.start()] if mark and mark[0] == ">" else ""
        if inner and self._hosts.allow(inner) and inner[:4].lower() == "http":
            self._verbatim(f"<{inner}>")
        elif inner and kept_tag(inner):
            if not self._line.strip():
                # A line that begins with a tag may be a block of HTML, in which no code begins.
                self._fences = False
            self._verbatim(f"<{inner}>")
        elif inner and (shown := shown_of_tag(inner)) is not None:
            self.removed += 1
            self._apart()
            self._put(shown)
            self._apart_next = True
        elif inner and is_address(inner + " "):
            self.removed += 1
            self._put(REMOVED)
        else:
            self._put("&lt;")
            return at + 1
        return at + len(inner) + 2

    def _words(self, text: str, at: int, final: bool) -> int | None:
        match = _PLAIN.match(text, at)
        assert match is not None
        run = match[0]
        ends_here = match.end() == len(text) and not final
        if ends_here and run.endswith("!"):
            run = run[:-1]
        waiting = ""
        if ends_here and run and not run[-1].isspace():
            # Without white space there is always a last token.
            waiting = re.split(r"\s", run)[-1] if len(run) < REACH else run[-REACH:].split()[-1]
            if len(waiting) >= REACH or not may_begin(waiting):
                waiting = ""
        taken = run[: len(run) - len(waiting)]
        if not taken:
            return None
        self._put(taken)
        return at + len(taken)

    def _put(self, text: str) -> None:
        """Let text out, word by word; nothing that comes out may make a link with what came before."""
        for token in _TOKEN.findall(text):
            if token.isspace():
                self._verbatim(token)
                self._apart_next = False
                continue
            if self._apart_next and token[0] not in ".,;!?)":
                self._apart()
            self._apart_next = False
            last = self._word[-1:]
            if (last == "]" and token[0] in "(:") or (last == "<" and (token[0].isalpha() or token[0] in "/!?")):
                self._apart()
            self._verbatim(self._harmless(token))

    def _harmless(self, word: str) -> str:
        """The word without addresses that are not allowed; a space first, where its left side would make one of it."""
        before = self._word
        if may_be_address(word) or may_be_address(before[-40:]):
            word, found = self._addresses.without(word)
            self.removed += found
            if before and not self._addresses.clean(before + word):
                self._apart()
        return word

    def _apart(self) -> None:
        if self._word:
            self._verbatim(" ")

    def _verbatim(self, text: str) -> None:
        self._out.append(text)
        word = re.split(r"\s", text)
        self._word = (self._word + text if len(word) == 1 else word[-1])[-REACH:]
        if "\r" in text or "\n" in text:
            lines = (self._line + text).split("\n")
            if "\r" in text or any(_STRAY_FENCE.match(line) for line in lines[:-1]):
                self._fences = self._fences and bool(_OPENING.fullmatch(text)) and not self._line
            self._line = lines[-1][:80]
        elif len(self._line) < 80:
            self._line = (self._line + text)[:80]
