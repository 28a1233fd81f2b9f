"""The child process that parses one file: standard input holds the bytes, standard output gets one JSON object.

Run as a script by `pipelines.parsing.sandbox`, in isolated mode. The answer is one of
`{"text", "blocks": [[start, end, page, section], ...], "pages", "language", "notice", "recognition": [pages,
confidence]}`, `{"read": ...}` of a reader, `{"failure": sentence, "pictures": whether they are all of it}` and
`{"crash": error name}`.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNSTARTED = 3
"""Exit status for a parser that cannot be imported, which is no fault of the file."""


def confine(memory_bytes: int, cpu_seconds: int) -> None:
    """Limit this process for good."""
    for kind, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NOFILE, 64, 64),
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1),
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
    ):
        present = resource.getrlimit(kind)[1]
        most = hard if present == resource.RLIM_INFINITY else min(hard, present)
        try:
            resource.setrlimit(kind, (min(soft, most), most))
        except (ValueError, OSError):
            # macOS refuses a limit of the address space; the other limits and the parent's clock still hold.
            if kind != resource.RLIMIT_AS:
                raise


def _parsing(parse: Callable[..., Any]) -> Callable[..., dict[str, object]]:
    def run(data: bytes, limits: object) -> dict[str, object]:
        parsed = parse(data, limits)
        blocks = [[block.start, block.end, block.page, block.section] for block in parsed.blocks]
        told = {"pages": parsed.pages, "language": parsed.language, "notice": parsed.notice}
        recognition = parsed.recognition and [parsed.recognition.pages, parsed.recognition.confidence]
        return {"text": parsed.text, "blocks": blocks, **told, "recognition": recognition}

    return run


def _reading(read: Callable[..., Any]) -> Callable[..., dict[str, object]]:
    return lambda data, limits: {"read": read(data, limits)}


def main(arguments: list[str]) -> int:
    media_type, limits_json = arguments
    values = json.loads(limits_json)
    confine(values["memory_bytes"], values["cpu_seconds"])
    answer_to = os.dup(1)
    os.dup2(2, 1)  # Whatever a library prints must not end up in the answer.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    try:
        from domain.documents import IngestionFailure, PicturesOnly
        from pipelines.parsing.limits import ParseLimits
        from pipelines.parsing.registry import PARSERS, load_parser, load_reader

        run = _parsing(load_parser(media_type)) if media_type in PARSERS else _reading(load_reader(media_type))
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return UNSTARTED
    data = sys.stdin.buffer.read()
    try:
        answer = run(data, ParseLimits(**values))
    except IngestionFailure as failure:
        answer = {"failure": str(failure), "pictures": isinstance(failure, PicturesOnly)}
    except Exception as error:  # noqa: BLE001 - a parser may raise anything; the parent turns it into a sentence
        answer = {"crash": type(error).__name__}
    with os.fdopen(answer_to, "wb") as stream:
        stream.write(json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # Tearing a large document down object by object would only cost time.
