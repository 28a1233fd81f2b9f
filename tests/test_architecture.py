"""The house rules, asserted over the source: direction of imports, cycles, file sizes, doors to settings and SQL."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("domain", "configs", "storage", "billing", "pipelines", "actors", "deployments", "cluster")
"""From the bottom up: a room imports only rooms before it."""
BILLING_MAY_IMPORT = {"domain", "configs", "storage", "billing"}
MAX_LINES = 300
SYSTEM_TX_USERS = {
    "actors/audit_anchors.py",
    "actors/document_ends.py",
    "actors/eraser.py",
    "actors/erasure_steps.py",
    "actors/evaluator.py",  # a fair turn for every tenant
    "actors/exporter.py",
    "actors/generation_builder.py",  # generations of all tenants, in turn
    "actors/ingestion_jobs.py",
    "actors/ingestion_runs.py",
    "actors/knowledge_upkeep.py",  # whose tables need care, across tenants
    "actors/mail_sender.py",
    "actors/outbox_relay.py",
    "actors/resealing.py",  # what is to be sealed, across tenants; older keys are the system role's to delete
    "actors/session_host.py",
    "billing/door.py",
    "billing/inbox.py",
    "cluster/audit.py",
    "cluster/dedicated_hosts.py",
    "cluster/staff_command.py",
    "cluster/knowledge_status.py",
    "cluster/keys.py",  # an operator's work on all tenants' keys
    "deployments/gateway/account_routes.py",
    "deployments/gateway/erasure_routes.py",
    "deployments/gateway/mfa_routes.py",
    "deployments/gateway/oidc_routes.py",
    "deployments/gateway/api_keys.py",  # a key does not say whose it is
    "deployments/gateway/open_access.py",  # a process has sockets of many tenants
    "deployments/gateway/sign_in_routes.py",  # a person signs in to several companies
    # People, and what is mailed to them, belong to no tenant; every statement about one tenant names it.
    "deployments/gateway/invitation_routes.py",
    "deployments/gateway/member_routes.py",
    "deployments/gateway/password_routes.py",
    "deployments/gateway/platform_routes.py",
    "deployments/gateway/principal.py",
    "deployments/gateway/tenancy_routes.py",
    "deployments/gateway/visitor_routes.py",
    "pipelines/archive.py",
    "pipelines/compare_generations.py",
    "pipelines/retention.py",
}
SQL_TEXT = re.compile(
    r"\b(select\s.+\sfrom\s|insert\s+into\s|update\s+\w+\s+set\s|delete\s+from\s|create\s+table\s)", re.IGNORECASE
)


def python_files(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("room", ROOMS)
def test_imports_only_go_down(room: str) -> None:
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    if room == "billing":
        allowed = BILLING_MAY_IMPORT
    for path in python_files(room):
        for name in imports_of(path):
            top = name.split(".")[0]
            assert top not in ROOMS or top in allowed, f"{name_of(path)} imports {name}"
            assert top not in ("tests", "benchmarks"), f"{name_of(path)} imports {name}"


def test_the_domain_needs_the_standard_library_and_pydantic_only() -> None:
    import sys

    for path in python_files("domain"):
        for name in imports_of(path):
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names or top in ("pydantic", "domain"), f"{name_of(path)} imports {name}"


def test_there_is_no_import_cycle() -> None:
    modules = {
        name_of(p).removesuffix(".py").removesuffix("/__init__").replace("/", "."): p for p in python_files(*ROOMS)
    }
    edges = {name: {i for i in imports_of(path) if i in modules and i != name} for name, path in modules.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for target in sorted(edges[name]):
                visit(target, (*trail, name))
            done.add(name)

    for name in sorted(modules):
        visit(name, ())


def test_files_are_small_and_open_with_a_sentence() -> None:
    for path in [*python_files(*ROOMS, "tests", "benchmarks")]:
        lines = path.read_text("utf-8").count("\n")
        assert lines <= MAX_LINES, f"{name_of(path)} has {lines} lines"
        if path.name == "__init__.py" and not path.read_text("utf-8").strip():
            continue
        sentence = (ast.get_docstring(tree_of(path)) or "").strip()
        assert sentence, f"{name_of(path)} does not say what it is"


def test_no_file_is_named_after_nothing() -> None:
    for path in python_files(*ROOMS):
        assert not re.search(r"(utils|helpers?|manager|misc|common)", path.stem), name_of(path)


def test_the_environment_is_read_in_configs_only() -> None:
    for path in python_files(*(room for room in ROOMS if room != "configs")):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                assert node.attr not in ("environ", "getenv", "putenv"), f"{name_of(path)}:{node.lineno}"


def test_sql_lives_in_sql_files() -> None:
    for path in python_files(*ROOMS):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL_TEXT.search(node.value):
                raise AssertionError(f"{name_of(path)}:{node.lineno} holds SQL")


def test_only_the_listed_modules_open_a_system_transaction() -> None:
    users = set()
    for path in python_files(*ROOMS):
        if name_of(path) == "storage/postgres/database.py":
            continue
        if any(isinstance(n, ast.Name) and n.id == "system_tx" for n in ast.walk(tree_of(path))):
            users.add(name_of(path))
    assert users <= SYSTEM_TX_USERS, users - SYSTEM_TX_USERS


def test_repositories_never_commit() -> None:
    for path in python_files("storage/postgres"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("commit", "rollback"), f"{name_of(path)}:{node.lineno}"


def test_nothing_secret_or_local_is_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in tracked if Path(name).name in (".env", "run.json") or name.endswith((".pem", ".key"))]
