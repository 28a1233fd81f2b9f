"""Assembly of parsed text: what every parser uses to tidy its pieces and to keep exact offsets and sections."""

import re
import unicodedata

from domain.documents import Block, IngestionFailure, ParsedDocument

MAX_TITLE = 160
MAX_DEPTH = 8
BELOW = " > "
"""Between a heading and those below it."""

_NEWLINES = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"[^\S\n]+")
_AROUND_NEWLINE = re.compile(r" ?\n ?")
_LINE_ENDS = re.compile(r"(?<![^\S\n])[^\S\n]++(?=\n|\Z)")
_LANGUAGE = re.compile(r"[A-Za-z]{2}(?![A-Za-z])")
_BLANK_LINES = re.compile(r"\n{3,}")


def clean_unicode(text: str) -> str:
    """Valid, composed Unicode with `\\n` line ends and nothing invisible; lone surrogates become U+FFFD."""
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = _INVISIBLE.sub("", _NEWLINES.sub("\n", text))
    return unicodedata.normalize("NFC", text)


def tidy(text: str, *, verbatim: bool = False) -> str:
    """Clean text without outer white space; runs of spaces become one, unless `verbatim` keeps them (code)."""
    text = clean_unicode(text)
    if verbatim:
        return _LINE_ENDS.sub("", text.replace("\u00a0", " ")).strip("\n").rstrip()
    text = _AROUND_NEWLINE.sub("\n", _SPACES.sub(" ", text))
    return _BLANK_LINES.sub("\n\n", text).strip()


class SectionPath:
    """The headings that enclose the present place, outermost first."""

    def __init__(self, root: str | None = None) -> None:
        self._stack: list[tuple[int, str]] = []
        if root:
            self.enter(0, root)

    def enter(self, level: int, title: str) -> None:
        """Start a section; headings of the same or a deeper level end."""
        while self._stack and self._stack[-1][0] >= level:
            self._stack.pop()
        title = " ".join(tidy(title).split())[:MAX_TITLE]
        if title and len(self._stack) < MAX_DEPTH:
            self._stack.append((level, title))

    def __str__(self) -> str:
        return BELOW.join(title for _, title in self._stack)

    @property
    def path(self) -> str | None:
        return str(self) or None


class Assembly:
    """Collects blocks in reading order into one text; offsets count characters of that text."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0

    def add(
        self,
        text: str,
        *,
        page: int | None = None,
        section: str | None = None,
        tight: bool = False,
        verbatim: bool = False,
    ) -> None:
        """Append one block, unless nothing visible is in it; `tight` puts it on the line right below the last one."""
        text = tidy(text, verbatim=verbatim)
        if not text.strip():
            return
        if self._parts:
            gap = "\n" if tight else "\n\n"
            self._parts.append(gap)
            self._length += len(gap)
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        self._blocks.append(Block(start=start, end=self._length, page=page, section=section))

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def document(self, *, empty: str, pages: int | None = None, language: str | None = None) -> ParsedDocument:
        """The whole document; raises IngestionFailure with the sentence `empty` when it has no block.

        `language` is what the document says of itself, as a tag: "de-AT".
        """
        if not self._blocks:
            raise IngestionFailure(empty)
        found = _LANGUAGE.match(language or "")
        code = found[0].lower() if found else None
        return ParsedDocument(text="".join(self._parts), blocks=tuple(self._blocks), pages=pages, language=code)
