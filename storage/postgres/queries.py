"""Loads the named SQL blocks of `sql/<noun>.sql`: `-- name: get_thing`, description lines, then one statement."""

import re
from functools import cache
from pathlib import Path

SQL = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def load(noun: str) -> dict[str, str]:
    """Statements by name, with psycopg's `%(name)s` parameters. Raises ValueError for a name used twice."""
    parts = _NAME.split((SQL / f"{noun}.sql").read_text("utf-8"))
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{noun}.sql names a block twice")
    return {name: _strip_comments(body) for name, body in zip(names, bodies, strict=True)}


def _strip_comments(body: str) -> str:
    lines = (line for line in body.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip().rstrip(";")
