"""The sandbox: real child processes, their limits, and answers from a parser that cannot be trusted."""

import json
import os
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.documents import IngestionFailure, ParsedDocument
from pipelines.parsing import sandbox
from pipelines.parsing.child import UNSTARTED
from pipelines.parsing.children import ENVIRONMENT
from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.registry import CSV, DOCX, EML, HTML, JSON, MARKDOWN, PDF, PPTX, TEXT, XLSX
from tests.fixtures import files

MEBIBYTE = 1024 * 1024


@pytest.fixture
def replaced_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that takes the parser's place."""
    script = tmp_path / "child.py"
    monkeypatch.setattr(sandbox, "CHILD", str(script))
    return script


def answering(script: Path, answer: object) -> None:
    script.write_text(f"import sys; sys.stdin.buffer.read(); sys.stdout.write({json.dumps(answer)!r})")


@pytest.mark.parametrize(
    ("data", "media_type", "expected"),
    [
        (files.pdf(["Page one.", "Page two."]), PDF, [(1, None, "Page one."), (2, None, "Page two.")]),
        (files.docx([(1, "Größe", ["Text."])]), DOCX, [(None, "Größe", "Größe"), (None, "Größe", "Text.")]),
        (files.html("T", "<p>Hello.</p>"), HTML, [(None, "T", "Hello.")]),
        (b"# A\n\nb", MARKDOWN, [(None, "A", "A"), (None, "A", "b")]),
        ("Grüße 😀".encode(), TEXT, [(None, None, "Grüße 😀")]),
        (files.pptx([("Plan", ["Soon."], "")]), PPTX, [(1, "Plan", "Plan"), (1, "Plan", "Soon.")]),
        (files.xlsx({"Preise": [["Lampe"]]}), XLSX, [(None, "Preise", "Lampe")]),
        (b"name,price\nLamp,10\n", CSV, [(None, None, "name | price"), (None, None, "name: Lamp | price: 10")]),
        (b'[{"a": 1}]', JSON, [(None, None, "a: 1")]),
        (b"Subject: Hi\n\nText.", EML, [(None, "Hi", "Subject: Hi"), (None, "Hi", "Text.")]),
    ],
)
def test_every_format_comes_back_whole(
    data: bytes, media_type: str, expected: list[tuple[int | None, str | None, str]]
) -> None:
    parsed = sandbox.parse(data, "file", media_type)
    assert isinstance(parsed, ParsedDocument)
    assert [(b.page, b.section, parsed.text[b.start : b.end]) for b in parsed.blocks] == expected


def test_a_large_file_passes_both_pipes() -> None:
    data = "\n\n".join(f"Paragraph {number} of a long text." for number in range(100_000)).encode()
    assert len(sandbox.parse(data, "big.txt", TEXT).blocks) == 100_000


@pytest.mark.parametrize(
    ("data", "media_type", "sentence"),
    [
        (b"", PDF, "The file is empty."),
        (b"x", "image/png", "This kind of file is not supported."),
        (files.pdf(["x"], password="p"), PDF, "The PDF is protected by a password."),
        (files.zip_bomb_docx(), DOCX, "The Word document unpacks to far more data than a document needs."),
        (files.text_with_nul(), TEXT, "The file holds binary data, not text."),
    ],
)
def test_a_parsers_sentence_reaches_the_caller(data: bytes, media_type: str, sentence: str) -> None:
    with pytest.raises(IngestionFailure) as caught:
        sandbox.parse(data, "file", media_type)
    assert str(caught.value) == sentence


def test_memory_is_limited() -> None:
    with pytest.raises(IngestionFailure, match=r"^The file needs too much memory to be read"):
        sandbox.parse(b"word \n\n" * (4 * MEBIBYTE), "a.txt", TEXT, ParseLimits(memory_bytes=128 * MEBIBYTE))


def test_processor_time_is_limited() -> None:
    with pytest.raises(IngestionFailure, match=r"^The file took too long to read"):
        sandbox.parse(b"# a\n\n- *b*\n\n" * 100_000, "a.md", MARKDOWN, ParseLimits(cpu_seconds=1))


def test_the_size_of_the_answer_is_limited() -> None:
    with pytest.raises(IngestionFailure, match=r"^The file holds more text"):
        sandbox.parse(b"word " * 10_000, "a.txt", TEXT, ParseLimits(output_bytes=10_000))


@pytest.mark.parametrize("reads", ["", "sys.stdin.buffer.read(); os.close(1)"])
def test_a_child_that_hangs_is_killed(replaced_child: Path, reads: str) -> None:
    replaced_child.write_text(
        f"import os, sys, time\nopen(__file__ + '.pid', 'w').write(str(os.getpid()))\n{reads}\ntime.sleep(600)\n"
    )
    with pytest.raises(IngestionFailure, match=r"^The file took too long to read"):
        sandbox.parse(b"x" * MEBIBYTE, "a.txt", TEXT, ParseLimits(wall_seconds=1.0))
    pid = int(Path(f"{replaced_child}.pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_child_that_dies_is_a_failure_of_the_file(replaced_child: Path) -> None:
    replaced_child.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(IngestionFailure, match=r"^The file could not be read; it may be damaged"):
        sandbox.parse(b"x" * MEBIBYTE, "a.txt", TEXT)


def test_a_parser_that_cannot_start_is_no_failure_of_the_file(replaced_child: Path) -> None:
    replaced_child.write_text(f"raise SystemExit({UNSTARTED})")
    with pytest.raises(RuntimeError, match="could not be started"):
        sandbox.parse(b"x", "a.txt", TEXT)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"text": "abc", "blocks": [], "pages": None},
        {"text": "abc", "blocks": [[0, 9, None, None]], "pages": None},
        {"text": "abc def", "blocks": [[0, 3, None, None]], "pages": None},
        {"text": "abc def", "blocks": [[4, 7, None, None], [0, 3, None, None]], "pages": None},
        {"text": "abc", "blocks": [[0, 3, 2, None]], "pages": 1},
        {"text": "a\x00c", "blocks": [[0, 3, None, None]], "pages": None},
        {"text": "a\ud800c", "blocks": [[0, 3, None, None]], "pages": None},
        {"text": "abc", "blocks": [[0, 3, None, "\udfff"]], "pages": None},
        {"text": "abc", "blocks": [["0", 3, None, None]], "pages": None},
        {"text": ["abc"], "blocks": [[0, 1, None, None]], "pages": None},
        {"text": "abc", "blocks": [[0, 3, None, 7]], "pages": None},
    ],
)
def test_an_answer_that_breaks_the_contract_is_refused(replaced_child: Path, answer: object) -> None:
    answering(replaced_child, answer)
    with pytest.raises(IngestionFailure, match=r"^The file could not be read; it may be damaged"):
        sandbox.parse(b"x", "a.txt", TEXT)


def test_every_file_has_a_new_process_of_one_template(replaced_child: Path) -> None:
    replaced_child.write_text(
        textwrap.dedent("""
            import builtins, json, os, sys
            sys.stdin.buffer.read()
            text = f"{os.getpid()} {os.getppid()} {hasattr(builtins, 'left')} {len(os.listdir('/proc/self/fd'))}"
            builtins.left = True
            print(json.dumps({"text": text, "blocks": [[0, len(text), None, None]], "pages": None}))
        """)
    )
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda number: sandbox.parse(b"x", f"{number}.txt", TEXT).text, range(12)))
    pids, templates, left, open_files = zip(*(answer.split() for answer in answers), strict=True)
    assert len(set(pids)) == 12
    assert len(set(templates)) == 1
    assert set(left) == {"False"}
    assert set(open_files) == {"4"}  # its three streams, and the folder that it reads


def test_files_that_are_parsed_at_the_same_time_do_not_mix() -> None:
    with ThreadPoolExecutor(8) as threads:
        texts = threads.map(lambda number: sandbox.parse(f"File {number}.".encode(), "a.txt", TEXT).text, range(40))
        assert list(texts) == [f"File {number}." for number in range(40)]


def test_a_template_that_dies_is_replaced(replaced_child: Path) -> None:
    replaced_child.write_text("import os, signal; os.kill(os.getppid(), signal.SIGKILL); os.read(0, 1); os._exit(0)")
    with pytest.raises(IngestionFailure):
        sandbox.parse(b"x", "a.txt", TEXT)
    answering(replaced_child, {"text": "abc", "blocks": [[0, 3, None, None]], "pages": None})
    assert sandbox.parse(b"x", "a.txt", TEXT).text == "abc"


def test_the_child_sees_nothing_of_our_environment(replaced_child: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOQUENT_SECRET_KEY", "a-secret")
    replaced_child.write_text(
        textwrap.dedent("""
            import json, os, sys
            sys.stdin.buffer.read()
            text = " ".join(sorted(os.environ))
            print(json.dumps({"text": text, "blocks": [[0, len(text), None, None]], "pages": None}))
        """)
    )
    assert set(sandbox.parse(b"x", "a.txt", TEXT).text.split()) <= set(ENVIRONMENT) | {"LC_CTYPE"}
