"""The sandbox: a file is parsed in a child process with hard limits, and only checked plain data comes back."""

import json
import os
import re
import selectors
import signal
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import structlog

from domain.documents import Block, IngestionFailure, ParsedDocument, PicturesOnly, Recognition
from pipelines.parsing.child import UNSTARTED
from pipelines.parsing.children import fork_child
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.registry import PARSERS

log = structlog.get_logger(__name__)

EMPTY = "The file is empty."
UNSUPPORTED = "This kind of file is not supported."
TOO_SLOW = "The file took too long to read."
TOO_BIG = "The file holds more text than can be processed."
TOO_HUNGRY = "The file needs too much memory to be read."
UNREADABLE = "The file could not be read; it may be damaged."

CHILD = str(Path(__file__).with_name("child.py"))
PIECE = 256 * 1024
MAX_SENTENCE = 300


def parse(data: bytes, name: str, media_type: str, limits: ParseLimits | None = None) -> ParsedDocument:
    """Parse one file of a media type of the registry; `name` is for the log only.

    Raises IngestionFailure with a sentence for the user when the file cannot be parsed or exceeds a limit, and
    RuntimeError when the parser itself could not be started.
    """
    if media_type not in PARSERS:
        raise IngestionFailure(UNSUPPORTED)
    return _document(_answer(data, name, media_type, limits or ParseLimits()), name, media_type)


def read(data: bytes, name: str, task: str, limits: ParseLimits | None = None) -> dict[str, Any]:
    """What one of the registry's READERS answers; its values are of a hostile file and to be checked by who uses them.

    Raises as `parse` does.
    """
    answer = _answer(data, name, task, limits or ParseLimits())
    try:
        fields = _told(answer, name, task)
        return dict(fields["read"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        log.warning("parser_answer_invalid", document=name, media_type=task, error=type(error).__name__)
        raise IngestionFailure(UNREADABLE) from error


def _answer(data: bytes, name: str, media_type: str, limits: ParseLimits) -> bytes:
    if not data:
        raise IngestionFailure(EMPTY)
    try:
        child = fork_child(CHILD, media_type, json.dumps(asdict(limits)))
    except OSError as error:
        raise RuntimeError(f"The parser of {media_type} could not be started.") from error
    with child:
        try:
            answer = _exchange(child.to_child, child.from_child, data, limits)
            status = child.wait(limits.wall_seconds)
        except TimeoutError:
            raise IngestionFailure(TOO_SLOW) from None
    if status == UNSTARTED:
        raise RuntimeError(f"The parser of {media_type} could not be started.")
    if status:
        log.warning("parser_died", document=name, media_type=media_type, status=status)
        raise IngestionFailure(_sentence_of_death(status))
    return answer


def _exchange(to_child: IO[bytes], from_child: IO[bytes], data: bytes, limits: ParseLimits) -> bytes:
    """Feed `data` and collect the answer, both without blocking, until the child closes its end."""
    deadline = time.monotonic() + limits.wall_seconds
    view, sent, answer = memoryview(data), 0, bytearray()
    with selectors.DefaultSelector() as selector:
        for stream in (to_child, from_child):
            os.set_blocking(stream.fileno(), False)
        selector.register(to_child, selectors.EVENT_WRITE)
        selector.register(from_child, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise IngestionFailure(TOO_SLOW)
            for key, _ in selector.select(left):
                if key.fileobj is from_child:
                    piece = os.read(from_child.fileno(), PIECE)
                    if not piece:
                        return bytes(answer)
                    answer += piece
                    if len(answer) > limits.output_bytes:
                        raise IngestionFailure(TOO_BIG)
                    continue
                try:
                    sent += os.write(to_child.fileno(), view[sent : sent + PIECE])
                except BrokenPipeError:
                    sent = len(data)
                if sent >= len(data):
                    selector.unregister(to_child)
                    with suppress(BrokenPipeError):
                        to_child.close()


def _sentence_of_death(status: int) -> str:
    """A negative status is the signal that ended the child; SIGKILL follows the processor limit or lack of memory."""
    return {-signal.SIGXCPU: TOO_SLOW, -signal.SIGKILL: TOO_HUNGRY}.get(status, UNREADABLE)


def _told(answer: bytes, name: str, media_type: str) -> dict[str, Any]:
    """The fields of an answer that is neither a failure nor a crash."""
    fields: dict[str, Any] = json.loads(answer)
    if "failure" in fields:
        kind = PicturesOnly if fields.get("pictures") is True else IngestionFailure
        raise kind(str(fields["failure"])[:MAX_SENTENCE])
    if "crash" in fields:
        crash = str(fields["crash"])[:80]
        log.warning("parser_crashed", document=name, media_type=media_type, error=crash)
        raise IngestionFailure(TOO_HUNGRY if crash == "MemoryError" else UNREADABLE)
    return fields


def _document(answer: bytes, name: str, media_type: str) -> ParsedDocument:
    """The checked answer: a parser that a file took over must not be able to break what comes after it."""
    try:
        fields = _told(answer, name, media_type)
        blocks = tuple(Block(*row) for row in fields["blocks"])
        notice = str(fields["notice"])[:MAX_SENTENCE] if fields.get("notice") else None
        recognition = Recognition(*fields["recognition"]) if fields.get("recognition") else None
        parsed = ParsedDocument(fields["text"], blocks, fields["pages"], fields.get("language"), notice, recognition)
        return _checked(parsed)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        log.warning("parser_answer_invalid", document=name, media_type=media_type, error=type(error).__name__)
        raise IngestionFailure(UNREADABLE) from error


def _checked(parsed: ParsedDocument) -> ParsedDocument:
    """Raise ValueError or TypeError unless the document keeps its own contract."""
    text, pages, end = parsed.text, parsed.pages, 0
    if not isinstance(text, str) or not (pages is None or type(pages) is int):
        raise TypeError("text or pages have the wrong type")
    if "\x00" in text:
        raise ValueError("NUL in the text")
    if parsed.language is not None and not re.fullmatch("[a-z]{2}", parsed.language):
        raise ValueError("no language code")
    text.encode("utf-8")
    (parsed.notice or "").encode("utf-8")
    if parsed.recognition is not None:
        _check_recognition(parsed.recognition, pages or 0)
    for block in parsed.blocks:
        if type(block.start) is not int or type(block.end) is not int:
            raise TypeError("offsets have the wrong type")
        if not end <= block.start < block.end <= len(text):
            raise ValueError("blocks are out of order")
        if text[end : block.start].strip():
            raise ValueError("text outside of blocks")
        if block.page is not None and not (type(block.page) is int and 1 <= block.page <= (pages or 0)):
            raise ValueError("page out of range")
        if block.section is not None:
            block.section.encode("utf-8")
        end = block.end
    if text[end:].strip() or not parsed.blocks:
        raise ValueError("text outside of blocks")
    return parsed


def _check_recognition(recognition: Recognition, pages: int) -> None:
    count, confidence = recognition.pages, recognition.confidence
    if type(count) is not int or type(confidence) not in (int, float):
        raise TypeError("the recognition has the wrong type")
    if not (1 <= count <= pages and 0 <= confidence <= 1):
        raise ValueError("the recognition is out of range")
