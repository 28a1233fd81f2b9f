"""Markdown: headings are the section path; the text is what a reader sees."""

import pytest

from domain.documents import IngestionFailure
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.markdown import parse


def rows(source: str) -> list[tuple[str | None, str]]:
    parsed = parse(source.encode(), ParseLimits())
    return [(block.section, parsed.text[block.start : block.end]) for block in parsed.blocks]


def test_headings_become_the_section_path() -> None:
    assert rows("Before\n\n# A *b*\ntext\n\n## C\nmore\n\nD\n=\nlast") == [
        (None, "Before"),
        ("A b", "A b"),
        ("A b", "text"),
        ("A b > C", "C"),
        ("A b > C", "more"),
        ("D", "D"),
        ("D", "last"),
    ]


def test_marks_and_link_targets_fall_away() -> None:
    source = "A **bold** [link](http://x.example) `code` ![alt *text*](a.png)\nwrapped &amp; \\* done  \nbreak"
    assert rows(source) == [(None, "A bold link code alt text wrapped & * done\nbreak")]


def test_lists_keep_their_markers_and_lines() -> None:
    parsed = parse(b"- one\n- two\n\n  3. three\n  4. four\n\npara", ParseLimits())
    assert parsed.text == "- one\n- two\n3. three\n4. four\n\npara"


def test_tables_become_rows_and_code_stays_verbatim() -> None:
    source = "|a|b|\n|-|-|\n|1|*2*|\n\n```python\nif x:\n    y\n\n# no heading\n```\n\n<div>raw <b>x</b></div>"
    assert [text for _, text in rows(source)] == ["a | b", "1 | 2", "if x:\n    y\n\n# no heading", "raw x"]


def test_front_matter_is_no_heading() -> None:
    assert rows("---\ntitle: Guide\ntags:\n  - a\n---\n# H\nx") == [
        (None, "title: Guide\ntags:\n- a"),
        ("H", "H"),
        ("H", "x"),
    ]


def test_front_matter_without_an_end_is_scanned_once() -> None:
    assert rows("---\n" + (" " * 40 + "x\n") * 150)


def test_nothing_visible_is_a_failure() -> None:
    with pytest.raises(IngestionFailure, match="holds no text"):
        parse(b"<!-- only a comment -->\n", ParseLimits())
