"""Markdown: headings become the section path, mark-up falls away, code and tables stay as text."""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from domain.documents import ParsedDocument
from pipelines.parsing.assembly import Assembly, SectionPath
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.text import EMPTY, decode

_FRONT_MATTER = re.compile(
    r"\A---[ \t]*\n(?P<body>(?>(?:[\w.-]+[ \t]*:|[ \t]+|-[ \t]|#)[^\n]*\n){0,200}+)(?:---|\.\.\.)[ \t]*\n"
)
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)


def parse(data: bytes, _limits: ParseLimits) -> ParsedDocument:
    text = decode(data).replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    assembly = Assembly()
    if front := _FRONT_MATTER.match(text):
        assembly.add(front["body"])
        text = text[front.end() :]
    walk = _Walk(assembly)
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        walk.take(token)
    return assembly.document(empty=EMPTY)


class _Walk:
    """State of one pass over the tokens: enclosing lists, the present table row, a heading that just began."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._sections = SectionPath()
        self._lists: list[int | None] = []
        """The next number of an ordered list, None for a bulleted one."""
        self._marker = ""
        self._heading: int | None = None
        self._row: list[str] | None = None
        self._rows = 0

    def take(self, token: Token) -> None:
        match token.type:
            case "inline":
                self._text(_plain(token.children or []))
            case "heading_open":
                self._heading = int(token.tag[1:])
            case "fence" | "code_block":
                self._assembly.add(token.content, section=self._sections.path, verbatim=True)
            case "html_block":
                self._assembly.add(_TAG.sub(" ", token.content), section=self._sections.path)
            case "table_open":
                self._rows = 0
            case "tr_open":
                self._row = []
            case "tr_close":
                self._close_row()
            case _:
                self._list(token)

    def _list(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self._lists.append(None)
            case "ordered_list_open":
                self._lists.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
            case "list_item_open":
                number = self._lists[-1]
                self._marker = "- " if number is None else f"{number}. "
                self._lists[-1] = None if number is None else number + 1

    def _text(self, text: str) -> None:
        if self._row is not None:
            self._row.append(" ".join(text.split()))
            return
        if self._heading is not None:
            self._sections.enter(self._heading, text)
            self._heading = None
        self._assembly.add(self._marker + text, section=self._sections.path, tight=bool(self._marker))
        self._marker = ""

    def _close_row(self) -> None:
        cells, self._row = self._row or [], None
        if any(cells):
            self._assembly.add(" | ".join(cells), section=self._sections.path, tight=self._rows > 0)
        self._rows += 1


def _plain(tokens: Sequence[Token]) -> str:
    """Inline tokens as the reader sees them, without marks and link targets."""
    parts: list[str] = []
    for token in tokens:
        match token.type:
            case "text" | "code_inline" | "text_special":
                parts.append(token.content)
            case "softbreak":
                parts.append(" ")
            case "hardbreak":
                parts.append("\n")
            case "image":
                parts.append(_plain(token.children or []))
            case "html_inline" if token.content.lower().startswith("<br"):
                parts.append("\n")
    return "".join(parts)
