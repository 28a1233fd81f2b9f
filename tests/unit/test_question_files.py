"""Question files: what is read, and that every complaint names its line."""

import json

import pytest

from domain.errors import Unprocessable
from domain.question_files import read_questions
from domain.question_set import MAX_QUESTIONS


def test_json_lines() -> None:
    lines = [
        {"question": "What does it cost?", "answer": "40 euros"},
        {
            "question": "And in blue?",
            "history": [{"role": "user", "content": "What does it cost?"}, {"role": "assistant", "content": "40."}],
            "answers": ["42", "forty-two"],
            "passages": [{"document": "a.txt", "start": 3, "end": 9}],
        },
        {"question": "Who is king?", "answerable": False},
    ]
    data = "\ufeff" + "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n\n"
    first, second, third = read_questions(data.encode(), "Set.JSONL")
    assert (first.question, first.answers) == ("What does it cost?", ("40 euros",))
    assert [said.role for said in second.history] == ["user", "assistant"]
    assert (second.answers, second.passages[0].end) == (("42", "forty-two"), 9)
    assert third.answerable is False


def test_csv() -> None:
    data = (
        "Question,answer,document,snippet,answerable\n"
        '"What, does\nit cost?",40 | forty,a.txt,,\n'
        "\n"
        "Who is king?,,,,no\n"
        "Is it blue?\n"
    )
    first, second, third = read_questions(data.encode(), "set.csv")
    assert (first.question, first.answers) == ("What, does\nit cost?", ("40", "forty"))
    assert first.passages[0].document == "a.txt"
    assert (second.answerable, second.passages) == (False, ())
    assert (third.question, third.answers, third.answerable) == ("Is it blue?", (), True)


@pytest.mark.parametrize(
    ("data", "name", "complaint"),
    [
        (b'{"question": "a"}\n{"question": ', "a.jsonl", "Line 2: this is no JSON."),
        (b"[" * 100_000, "a.jsonl", "Line 1: this is no JSON."),
        (b'{"question": "a"}\n\n"b"', "a.jsonl", "Line 3: each line is one JSON object."),
        (b'{"question": " "}', "a.jsonl", "Line 1: question: must not be blank."),
        (b'{"question": "a", "passages": [{"start": 1}]}', "a.jsonl", "Line 1: passages.0: names no document"),
        (b'{"question": "a", "password": "hunter2"}', "a.jsonl", "Line 1: password: Extra inputs"),
        (b'{"question": "a\\u0000"}', "a.jsonl", "Line 1: question: text must not contain NUL"),
        (b'{"question": "\\ud800"}', "a.jsonl", "Line 1: question: "),
        (b'{"question": "a", "\\ud800": 1}', "a.jsonl", "Line 1: Input should be a valid string"),
        (b'{"question": "a"}\n\xff', "a.jsonl", "Line 2: the file is not UTF-8."),
        (b'{"question": "' + b"a" * 300_000 + b'"}', "a.jsonl", "Line 1: it is longer than"),
        (b"question,colour\na,b", "a.csv", "Line 1: there is no column 'colour'"),
        (b"answer\na", "a.csv", "Line 1: the header needs a column `question`."),
        (b"question,question\na,b", "a.csv", "Line 1: a column is there twice."),
        (b"question\na,b", "a.csv", "Line 2: it has more cells than the header."),
        (b'question\n"a"b', "a.csv", "Line 2: this is no CSV"),
        (b"question,answerable\na,perhaps", "a.csv", "Line 2: `answerable` is true or false."),
        (b"question,start,document\na,x,b.txt", "a.csv", "Line 2: passages.0.start: Input should be a valid integer"),
        (b"question\n", "a.csv", "The file holds no questions."),
        (b"", "a.jsonl", "The file holds no questions."),
        (b"{}", "a.txt", "A question set is a file whose name ends with .jsonl or .csv."),
    ],
)
def test_what_is_wrong_is_said_with_its_line(data: bytes, name: str, complaint: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        read_questions(data, name)
    assert refused.value.message.startswith(complaint)
    assert "hunter2" not in refused.value.message
    refused.value.message.encode()


def test_complaints_are_few() -> None:
    with pytest.raises(Unprocessable) as refused:
        read_questions(b"{}\n" * 1_000, "a.jsonl")
    assert refused.value.message.count("Line") == 5


def test_a_set_is_bounded() -> None:
    with pytest.raises(Unprocessable, match="at most"):
        read_questions(b'{"question": "a"}\n' * (MAX_QUESTIONS + 1), "a.jsonl")
