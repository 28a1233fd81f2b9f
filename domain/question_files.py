"""Reads question sets from JSON Lines and CSV; every complaint names its line."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from domain.errors import Unprocessable
from domain.question_set import MAX_QUESTIONS, QuestionSpec

MAX_COMPLAINTS = 5
MAX_LINE_CHARS = 256 * 1024
_ANSWERS = ("answer", "answers")
_PASSAGE = ("document_id", "document", "start", "end", "snippet")
_COLUMNS = ("question", "answer", "answers", "answerable", *_PASSAGE)
_YES, _NO = frozenset(("true", "yes", "1", "")), frozenset(("false", "no", "0"))


def read_questions(data: bytes, name: str) -> list[QuestionSpec]:
    """The questions of a file, in its order; `name` ends with `.jsonl`, `.ndjson` or `.csv`.

    JSON Lines: one object per line with the fields of QuestionSpec; `answer` stands for one of `answers`. CSV: a header
    with `question` and any of `answer` (several, divided by `|`), `document`, `document_id`, `start`, `end`, `snippet`
    and `answerable`. Raises Unprocessable for anything else, naming the lines.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unprocessable(f"Line {line}: the file is not UTF-8.") from None
    kind = name.casefold().rpartition(".")[2]
    if kind in ("jsonl", "ndjson"):
        rows = _json_lines(text)
    elif kind == "csv":
        rows = _csv_rows(text)
    else:
        raise Unprocessable("A question set is a file whose name ends with .jsonl or .csv.")
    questions: list[QuestionSpec] = []
    complaints: list[str] = []
    for line, row in rows:
        try:
            questions.append(QuestionSpec.model_validate(row))
        except ValidationError as error:
            complaints.append(f"Line {line}: {_sentence(error)}")
            if len(complaints) == MAX_COMPLAINTS:
                break
        if len(questions) > MAX_QUESTIONS:
            raise Unprocessable(f"Line {line}: a question set holds at most {MAX_QUESTIONS:,} questions.")
    if complaints:
        raise Unprocessable(" ".join(complaints))
    if not questions:
        raise Unprocessable("The file holds no questions.")
    return questions


def _json_lines(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        if len(content) > MAX_LINE_CHARS:
            raise Unprocessable(f"Line {line}: it is longer than {MAX_LINE_CHARS:,} characters.")
        try:
            row = json.loads(content)
        except (ValueError, RecursionError):
            raise Unprocessable(f"Line {line}: this is no JSON.") from None
        if not isinstance(row, dict):
            raise Unprocessable(f"Line {line}: each line is one JSON object.")
        if isinstance(row.get("answer"), str) and "answers" not in row:
            row["answers"] = [row.pop("answer")]
        yield line, row


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise Unprocessable(f"Line {line}: this is no CSV ({error}).") from None
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = _header(cells)
            continue
        if len(cells) > len(header):
            raise Unprocessable(f"Line {line}: it has more cells than the header.")
        yield line, _row_of(dict(zip(header, cells, strict=False)), line)


def _header(cells: list[str]) -> list[str]:
    header = [cell.strip().casefold() for cell in cells]
    unknown = [name for name in header if name not in _COLUMNS]
    if unknown:
        raise Unprocessable(f"Line 1: there is no column {unknown[0][:50]!r}; the columns are {', '.join(_COLUMNS)}.")
    if "question" not in header:
        raise Unprocessable("Line 1: the header needs a column `question`.")
    if len(set(header)) != len(header):
        raise Unprocessable("Line 1: a column is there twice.")
    return header


def _row_of(cells: dict[str, str], line: int) -> dict[str, Any]:
    answers = [part.strip() for name in _ANSWERS for part in cells.get(name, "").split("|") if part.strip()]
    answerable = cells.get("answerable", "").strip().casefold()
    if answerable not in _YES | _NO:
        raise Unprocessable(f"Line {line}: `answerable` is true or false.")
    passage = {name: cells[name].strip() for name in _PASSAGE if cells.get(name, "").strip()}
    return {
        "question": cells.get("question", ""),
        "answers": answers,
        "passages": [passage] if passage else [],
        "answerable": answerable not in _NO,
    }


def _sentence(error: ValidationError) -> str:
    """The first thing that is wrong, without what was sent."""
    first = error.errors(include_input=False, include_url=False)[0]
    # A name that the file made up may hold anything.
    place = ".".join(str(part) for part in first["loc"]).encode("ascii", "replace").decode()[:100]
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}." if place else f"{message}."
