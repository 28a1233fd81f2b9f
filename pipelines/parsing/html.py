"""HTML: the main content without navigation, headings as sections; the whole body where no main content is found."""

import re
from typing import Any

from lxml import etree
from lxml import html as lxml_html

from domain.documents import IngestionFailure, ParsedDocument
from pipelines.parsing.assembly import Assembly, SectionPath, tidy
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.text import decode

DAMAGED = "The HTML file is damaged and cannot be read."
EMPTY = "The HTML file holds no text."
MAIN_SHARE = 0.35
"""Below this share of the body's characters, an extraction is taken for a miss and the body is read instead."""

_CHARSET = re.compile(
    rb"""<meta[^>]{0,200}charset\s*=\s*["']?([\w-]{1,40})|<\?xml[^>]{0,100}encoding=["']([\w-]{1,40})""", re.IGNORECASE
)
# An XML declaration is refused in decoded text; and the parser would drop what follows a closed body.
_REMOVED = re.compile(r"\A\s*<\?xml[^>]*\?>|</(?:body|html)\s*+>", re.IGNORECASE)

# Names of HTML and of the TEI-like tree that the extractor makes.
HEADINGS = {f"h{level}": level for level in range(1, 7)}
BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "html",
        "legend",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
        "li",
        "quote",
        "list",
        "item",
        "row",
        "head",
    ]
) | set(HEADINGS)
ITEMS = frozenset(("li", "item"))
CELLS = frozenset(("td", "th", "cell"))
BREAKS = frozenset(("br", "lb"))
DROPPED = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "canvas",
        "iframe",
        "object",
        "embed",
        "audio",
        "video",
        "nav",
        "footer",
        "aside",
        "button",
        "select",
        "option",
        "textarea",
        "input",
        "datalist",
        "title",
        "meta",
        "link",
    ]
)


def parse(data: bytes, _limits: ParseLimits) -> ParsedDocument:
    found = _CHARSET.search(data[:4096])
    hint = (found[1] or found[2]).decode("ascii", "replace") if found else None
    source = _REMOVED.sub("", decode(data, hint))
    try:
        parser = lxml_html.HTMLParser(huge_tree=True)  # The sandbox limits memory; the usual depth limit drops text.
        tree = lxml_html.document_fromstring(source, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise IngestionFailure(EMPTY if not source.strip() else DAMAGED) from error
    if parser.error_log.filter_from_fatals():
        raise IngestionFailure(DAMAGED)
    language = str(tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang") or "")
    title = " ".join(str(tree.findtext(".//title") or "").split()) or None
    whole = _collect(tree, title)
    main = _main_content(tree)
    if main is not None:
        extracted = _collect(main, title)
        if extracted.size >= MAIN_SHARE * whole.size:
            return extracted.assembly.document(empty=EMPTY, language=language)
    return whole.assembly.document(empty=EMPTY, language=language)


def _main_content(tree: Any) -> Any | None:
    from trafilatura import bare_extraction

    try:
        found = bare_extraction(tree, favor_recall=True, include_comments=False, include_tables=True)
    except Exception:  # noqa: BLE001 - the extractor is heuristic; whatever trips it, the body can still be read
        return None
    return None if found is None or isinstance(found, dict) else found.body


class _Collector:
    """Text of a tree in reading order: inline text gathers until a block begins or ends."""

    def __init__(self, root_title: str | None) -> None:
        self.assembly = Assembly()
        self.size = 0
        self._sections = SectionPath(root_title)
        self._parts: list[str] = []
        self._prefix = ""
        self._row: list[str] | None = None
        self._rows = 0

    def text(self, value: str | None, *, preformatted: bool) -> None:
        if value:
            self._parts.append(value if preformatted else re.sub(r"\s+", " ", value))

    def line_break(self) -> None:
        self._parts.append("\n")

    def item(self) -> None:
        self._prefix = "- "

    def open_row(self) -> None:
        self._row = []

    def close_cell(self) -> None:
        if self._row is not None:
            self._row.append(" ".join("".join(self._parts).split()))
            self._parts.clear()

    def close_row(self) -> None:
        cells, self._row = self._row or [], None
        if any(cells):
            self._add(" | ".join(cells), tight=self._rows > 0)
        self._rows += 1

    def close_table(self) -> None:
        self._rows = 0

    def flush(self, *, heading: int | None = None, verbatim: bool = False) -> None:
        """End the present run of text; inside a table row it stays with its cell."""
        if self._row is not None:
            self._parts.append(" ")
            return
        value = "".join(self._parts)
        self._parts.clear()
        if not value.strip():
            return
        if heading is not None:
            self._sections.enter(heading, value)
        self._add(self._prefix + tidy(value, verbatim=verbatim), tight=bool(self._prefix), verbatim=verbatim)
        self._prefix = ""

    def _add(self, value: str, *, tight: bool, verbatim: bool = False) -> None:
        self.size += len(value)
        self.assembly.add(value, section=self._sections.path, tight=tight, verbatim=verbatim)


def _collect(root: Any, title: str | None) -> _Collector:
    """Walk without recursion, because nesting is the file's choice."""
    has_top = root.find(".//h1") is not None or root.find(".//head[@rend='h1']") is not None
    out = _Collector(None if has_top else title)
    walker = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    verbatim = 0
    for event, node in walker:
        name = node.tag if isinstance(node.tag, str) else ""
        if event == "start":
            if name in DROPPED:
                walker.skip_subtree()
                continue
            if name in BLOCKS or _is_code(name, node):
                out.flush(verbatim=verbatim > 0)
            verbatim += _is_code(name, node)
            _enter(out, name, node)
            out.text(node.text, preformatted=verbatim > 0)
            continue
        if event == "end" and name not in DROPPED:
            _leave(out, name, node, verbatim > 0)
            verbatim -= _is_code(name, node)
        if node is not root:
            out.text(node.tail, preformatted=verbatim > 0)
    out.flush()
    return out


def _is_code(name: str, node: Any) -> bool:
    """Preformatted text; a `code` of one line is a word of its sentence."""
    return name == "pre" or (name == "code" and "\n" in (node.text or ""))


def _enter(out: _Collector, name: str, node: Any) -> None:
    if name in ITEMS and not str(node.get("rend", "")).startswith("d"):  # Terms and definitions carry no bullet.
        out.item()
    elif name in ("tr", "row"):
        out.open_row()
    elif name in BREAKS:
        out.line_break()


def _leave(out: _Collector, name: str, node: Any, verbatim: bool) -> None:
    if name in CELLS:
        out.close_cell()
    elif name in ("tr", "row"):
        out.close_row()
    elif name == "table":
        out.close_table()
    elif name in HEADINGS:
        out.flush(heading=HEADINGS[name])
    elif name == "head":
        out.flush(heading=HEADINGS.get(str(node.get("rend", "")), 2))
    elif name in BLOCKS or _is_code(name, node):
        out.flush(verbatim=verbatim)
