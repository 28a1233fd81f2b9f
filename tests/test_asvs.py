"""The table of OWASP ASVS 5.0 in docs/asvs.yaml: complete, its tests exist; and a few requirements about the source."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.gateway.passwords import Passwords
from tests.fixtures.shared_data import shared_json
from tests.test_architecture import ROOMS, ROOT, name_of, python_files, tree_of

LEAST_OF_LEVEL_2 = 0.8
OWN_FILES = {"cluster/embedded/stripe_double.py"}
"""The local double of Stripe, which keeps its customers in a file that only it may write."""
REASONS = ("not_applicable", "operator", "gap")


@cache
def table() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docs" / "asvs.yaml").read_text("utf-8"))
    return found


def level_of() -> dict[str, str]:
    requirements = shared_json("asvs-5.0.0-en.flat.json")["requirements"]
    return {requirement["req_id"]: requirement["L"] for requirement in requirements}


def test_every_requirement_of_levels_one_and_two_has_its_line() -> None:
    levels = level_of()
    assert set(table()) == {name for name, level in levels.items() if level in ("1", "2")}


@pytest.mark.parametrize("name", table())
def test_a_line_says_one_thing(name: str) -> None:
    entry = table()[name]
    reasons = [key for key in REASONS if key in entry]
    assert set(entry) <= {*REASONS, "tests", "document"}
    assert len(reasons) + ("tests" in entry) == 1
    assert all(str(entry[key]).endswith(".") for key in reasons)
    if "document" in entry:
        assert (ROOT / entry["document"]).is_file()
    for test in entry.get("tests", ()):
        path, _, wanted = test.partition("::")
        text = (ROOT / path).read_text("utf-8")
        if path.endswith(".py"):
            assert re.search(rf"^(async )?def {re.escape(wanted)}\(", text, re.MULTILINE), test
        else:
            assert wanted in text, test


def test_level_one_is_whole_and_level_two_nearly() -> None:
    """What does not apply and what only an operator can see to is left out of the counts."""
    levels, counts = level_of(), {"1": Counter[str](), "2": Counter[str]()}
    for name, entry in table().items():
        counts[levels[name]][next(key for key in (*REASONS, "tests") if key in entry)] += 1
    for level, count in counts.items():
        applicable = count["tests"] + count["gap"]
        print(
            f"level {level}: {count['tests']} of {applicable} shown by tests, "
            f"{count['not_applicable']} not applicable, {count['operator']} with the operator"
        )
    assert counts["1"]["gap"] == 0
    assert counts["2"]["tests"] >= LEAST_OF_LEVEL_2 * (counts["2"]["tests"] + counts["2"]["gap"])
    # Nobody empties the table to fill the quota.
    assert counts["1"]["tests"] >= 45
    assert counts["2"]["tests"] >= 110


def test_no_text_becomes_code() -> None:
    """No `eval` or `exec`, no shell, no reader that makes objects of what it reads."""
    named = {"eval", "exec", "compile", "__import__"}
    attributes = {("os", "system"), ("os", "popen"), ("pickle", "loads"), ("pickle", "load"), ("marshal", "loads")}
    attributes |= {("yaml", "load"), ("yaml", "unsafe_load"), ("shelve", "open")}
    for path in python_files(*ROOMS):
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.Call):
                continue
            place = f"{name_of(path)}:{node.lineno}"
            match node.func:
                case ast.Name(id=name):
                    assert name not in named, place
                case ast.Attribute(value=ast.Name(id=module), attr=name):
                    assert (module, name) not in attributes or name_of(path) in OWN_FILES, place
            assert not any(keyword.arg == "shell" for keyword in node.keywords), place


def test_password_fields_hide_and_take_what_managers_fill_in() -> None:
    fields = 0
    for path in sorted((ROOT / "web" / "src").rglob("*.tsx")):
        text = path.read_text("utf-8")
        assert "onPaste" not in text, path
        assert not re.search(r'<(Text)?[Ii]nput\b[^>]*name="[^"]*password', text), path
        for found in re.finditer(r"<PasswordInput\b(.*?)/>", text, re.DOTALL):
            assert re.search(r"autoComplete=.*(current|new)-password", found[1]), path
            fields += 1
    assert fields >= 1


async def test_passwords_are_stored_with_argon2id() -> None:
    """Source of the least parameters: OWASP Password Storage Cheat Sheet."""
    stored = await Passwords().hash("correct horse battery")
    found = re.fullmatch(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$[^$]{22,}\$[^$]{43,}", stored)
    assert found is not None
    assert int(found[1]) >= 19 * 1024
    assert int(found[2]) >= 2
    assert stored != await Passwords().hash("correct horse battery")


def test_the_table_is_linked() -> None:
    assert "asvs.yaml" in (Path(ROOT) / "docs" / "security.md").read_text("utf-8")
