"""Tables as sources: a document for each row, and a sentence where a column, a row or the table is not right."""

import json
from datetime import date
from pathlib import Path

import pytest

from domain.sources import ColumnMapping
from pipelines.parsing.registry import CSV, JSON, MARKDOWN, TEXT
from pipelines.sources import intake, table_rows
from pipelines.sources.found import SourceLimits
from pipelines.sources.local import LocalSource
from tests.fixtures.sources import Read, parquet, read

ROWS = [
    {"id": "a-1", "title": "Lamp", "body": "It shines.", "price": 10, "day": date(2026, 1, 2), "ok": True},
    {"id": "b/2", "title": "Röhre", "body": "Sie leuchtet.", "price": 2.5, "day": date(2026, 1, 3), "ok": False},
]
MAPPING = ColumnMapping(text=("body",), id="id", title="title", metadata=("price", "day", "ok"))
TABLES = {
    "t.parquet": parquet(
        {name: [row[name] for row in ROWS] for name in ROWS[0] if name != "price"} | {"price": [10.0, 2.5]}
    ),
    "t.jsonl": "\n".join(json.dumps(row, default=str) for row in ROWS).encode(),
    "t.csv": ("id;title;body;price;day;ok\n" + "\n".join(";".join(map(str, row.values())) for row in ROWS)).encode(),
    "t.tsv": ("id\ttitle\tbody\tprice\tday\tok\n" + "\n".join("\t".join(map(str, r.values())) for r in ROWS)).encode(
        "utf-16"
    ),
}


async def rows_of(
    tmp_path: Path, name: str, data: bytes, columns: ColumnMapping | None = MAPPING, limits: SourceLimits | None = None
) -> Read:
    (tmp_path / name).write_bytes(data)
    return await read(LocalSource(str(tmp_path / name), limits, columns))


@pytest.mark.parametrize("name", TABLES)
async def test_every_row_is_a_document(tmp_path: Path, name: str) -> None:
    found = await rows_of(tmp_path, name, TABLES[name])
    assert found.failures == {}
    assert {key: body.decode() for key, body in found.bodies.items()} == {
        f"{name}#a-1": "Lamp\n\nIt shines.",
        f"{name}#b/2": "Röhre\n\nSie leuchtet.",
    }
    lamp, tube = found.items.values()
    assert (lamp.name, tube.name, lamp.media_type) == ("Lamp.txt", "Röhre.txt", TEXT)
    assert lamp.source == f"{tmp_path}/{name}#a-1"
    assert str(lamp.metadata["day"]) == "2026-01-02"
    assert set(lamp.metadata) == {"price", "day", "ok"}
    if name.endswith(("parquet", "jsonl")):
        assert float(lamp.metadata["price"]) == 10
        assert lamp.metadata["ok"] is True


async def test_several_texts_in_markdown_without_names(tmp_path: Path) -> None:
    columns = ColumnMapping(text=("question", "answer"), markdown=True)
    data = parquet({"question": ["Why?", None, ""], "answer": ["Because.", "So.", " "]})
    found = await rows_of(tmp_path, "faq.parquet", data, columns)
    assert {key: body.decode() for key, body in found.bodies.items()} == {
        "faq.parquet#1": "## question\n\nWhy?\n\n## answer\n\nBecause.",
        "faq.parquet#2": "## answer\n\nSo.",
    }
    assert found.failures == {"faq.parquet#3": table_rows.NO_TEXT}
    first = found.items["faq.parquet#1"]
    assert (first.name, first.media_type) == ("faq 1.md", MARKDOWN)


@pytest.mark.parametrize("name", TABLES)
async def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, name: str) -> None:
    found = await rows_of(tmp_path, name, TABLES[name], ColumnMapping(text=("body",), title="headline"))
    [(key, reason)] = found.failures.items()
    assert (key, found.items) == (name, {})
    assert reason.startswith("The table has no column `headline`; it has `id`, `title`, `body`")


async def test_without_a_mapping_tables_are_documents_and_parquet_is_asked_about(tmp_path: Path) -> None:
    for name, media_type in (("t.csv", CSV), ("t.jsonl", JSON)):
        found = await rows_of(tmp_path, name, TABLES[name], None)
        assert found.items[name].media_type == media_type
    found = await rows_of(tmp_path, "t.parquet", TABLES["t.parquet"], None)
    assert found.failures == {"t.parquet": intake.NEEDS_COLUMNS}


async def test_rows_that_cannot_be_documents_fail_alone(tmp_path: Path) -> None:
    lines = [
        b'{"id": 1, "body": "one"}',
        b'{"id": 1, "body": "one again"}',
        b"{not json}",
        b"[1]",
        b'{"id": null, "body": "nameless"}',
        b'{"id": 2, "body": null}',
        b'{"id": 3, "body": "' + b"x" * 2_000 + b'"}',
        b"",
        b'{"id": 4, "body": {"deep": [1, "two"]}}',
        b'{"id": 5, "body": "bad \\ud800 character"}',
    ]
    columns = ColumnMapping(text=("body",), id="id")
    found = await rows_of(tmp_path, "t.jsonl", b"\n".join(lines), columns, SourceLimits(max_bytes=1_500))
    assert found.failures == {
        "t.jsonl#1#2": table_rows.TWICE,
        "t.jsonl#row 3": "The line is no valid JSON.",
        "t.jsonl#row 4": "The line is no JSON object.",
        "t.jsonl#row 5": table_rows.NO_ID,
        "t.jsonl#2": table_rows.NO_TEXT,
        "t.jsonl#3": table_rows.TOO_LARGE,
    }
    assert found.bodies["t.jsonl#4"] == b'{"deep": [1, "two"]}'
    assert found.bodies["t.jsonl#5"] == b"bad ? character"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.parquet", b"PAR1" + bytes(100) + b"PAR1"),
        ("t.parquet", b"no parquet"),
        ("t.parquet", TABLES["t.parquet"][:-20]),
        ("t.csv", b'id,title,body,price,day,ok\n1,2,"' + b"x" * 9_000_000),
        ("t.csv", b""),
        ("t.jsonl", b""),
        ("t.jsonl", b"\x00" * 100),
    ],
)
async def test_damaged_tables_have_a_reason(tmp_path: Path, name: str, data: bytes) -> None:
    found = await rows_of(tmp_path, name, data, limits=SourceLimits(max_bytes=1_000_000))
    assert found.items == {}
    assert found.failures
    assert all(reason.endswith(".") for reason in found.failures.values())


async def test_only_so_many_rows(tmp_path: Path) -> None:
    data = parquet({"body": [f"Row {number}." for number in range(2_000)]}, row_group_size=500)
    columns = ColumnMapping(text=("body",))
    found = await rows_of(tmp_path, "t.parquet", data, columns, SourceLimits(max_rows=1_200))
    assert len(found.items) == 1_200
    assert found.failures["t.parquet"].startswith("The table has more than 1,200 rows")


async def test_a_page_that_unpacks_to_more_than_there_is_memory_for(tmp_path: Path) -> None:
    data = parquet({"body": ["x" * 300_000_000]}, compression="zstd")
    assert len(data) < 1_000_000
    columns = ColumnMapping(text=("body",))
    found = await rows_of(tmp_path, "t.parquet", data, columns, SourceLimits(memory_bytes=700 * 1024 * 1024))
    assert found.items == {}
    assert len(found.failures) == 1
