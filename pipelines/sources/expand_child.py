"""The child process that opens one archive or table: standard input is the file, standard output a stream of items.

Run as a script by `pipelines.sources.expansion`, in isolated mode. An item is a JSON header, `{"key", "title",
"metadata"}`, and the pieces of its body; a header with `failure` has no body, one with `end` is the last. Header and
piece are preceded by their length (four bytes, big endian); a piece of length 0 ends the body, one of length BROKEN
says that it broke off, and a JSON header with the `failure` follows.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

BROKEN = 0xFFFF_FFFF
PIECE = 64 * 1024
UNSTARTED = 3
"""Exit status of a child that could not import what it needs, which is no fault of the file."""


def main(arguments: list[str]) -> int:
    task: dict[str, Any] = json.loads(arguments[0])
    out = os.fdopen(os.dup(1), "wb", PIECE)
    os.dup2(2, 1)  # Whatever a library prints must not end up among the items.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    try:
        from domain.documents import IngestionFailure
        from pipelines.background import step_back
        from pipelines.parsing.child import confine
        from pipelines.sources.expand_limits import ExpandLimits

        step_back()
        limits = ExpandLimits(**task["limits"])
        confine(limits.memory_bytes, limits.cpu_seconds)
        items = _items(sys.stdin.buffer, task, limits)
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return UNSTARTED
    last: dict[str, Any] = {"end": True}
    try:
        for header, body in items:
            _write_item(out, header, body, limits.item_bytes)
    except IngestionFailure as failure:
        last["failure"] = str(failure)
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - a library may raise anything; the parent turns it into a sentence
        last["crash"] = type(error).__name__
    _write_header(out, last)
    out.flush()
    return 0


def _items(stream: IO[bytes], task: dict[str, Any], limits: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Headers, and what to read the body from; None for a failure."""
    if task["columns"] is None:
        from pipelines.sources.archive_entries import entries

        return (
            ({"key": entry.name, "size": entry.size, "failure": entry.failure}, entry.body)
            for entry in entries(stream, task["size"], task["kind"], limits)
        )
    from io import BytesIO

    from pipelines.sources.table_rows import Columns, rows

    told: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in task["columns"].items()}
    columns = Columns(**told)
    return (
        (
            {"key": row.key, "title": row.title, "metadata": row.metadata, "failure": row.failure},
            None if row.failure else BytesIO(row.text.encode("utf-8", "replace")),
        )
        for row in rows(stream, task["kind"], columns, limits)
    )


def _write_item(out: IO[bytes], header: dict[str, Any], body: Any, max_bytes: int) -> None:
    from pipelines.sources.expand_limits import too_large_sentence

    if not header["failure"] and header.get("size", 0) > max_bytes:
        header["failure"] = too_large_sentence(max_bytes)
    _write_header(out, header)
    if header["failure"]:
        return
    left, failure = max_bytes, ""
    while not failure:
        try:
            piece = body.read(PIECE)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - of the libraries below: this file is damaged, the others may not be
            failure = "The file is damaged within the archive."
            break
        left -= len(piece)
        if left < 0:
            failure = too_large_sentence(max_bytes)
        elif not piece:
            break
        else:
            _write_length(out, len(piece))
            out.write(piece)
    _write_length(out, BROKEN if failure else 0)
    if failure:
        _write_header(out, {**header, "failure": failure})


def _write_header(out: IO[bytes], header: dict[str, Any]) -> None:
    data = json.dumps(header).encode()
    _write_length(out, len(data))
    out.write(data)


def _write_length(out: IO[bytes], length: int) -> None:
    out.write(length.to_bytes(4, "big"))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)
