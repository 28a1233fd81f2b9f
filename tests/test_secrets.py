"""No secret is in the repository, and none of the settings' secrets shows in a text about them."""

import json
import logging
import pickle
import subprocess
from pathlib import Path

import pytest
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings
from pydantic import SecretStr

from configs.settings import Settings

ROOT = Path(__file__).parents[1]
BASELINE = ROOT / ".secrets.baseline"
"""What the scanner takes for secrets and a person has looked at: `python -m tests.test_secrets` writes it again."""
NO_TEXT = (".png", ".pdf", ".ico", "package-lock.json", ".secrets.baseline")
PUBLIC_ROOMS = ("tests/", "benchmarks/")


def _is_expected(name: str, kind: str) -> bool:
    """Passwords of tests are made up, and ruff (S105) asks about every one in our Python: what has the form of a
    provider's key, or much entropy, is still found there."""
    if kind == "Secret Keyword":
        return name.endswith(".py")
    return kind == "Basic Auth Credentials" and name.startswith(PUBLIC_ROOMS)


def suspects() -> set[tuple[str, str, str]]:
    """File, kind and hash of everything in tracked files that looks like a secret."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = SecretsCollection(root=str(ROOT))
    with default_settings():
        for name in listed.split():
            if not name.endswith(NO_TEXT) and (ROOT / name).is_file():
                found.scan_file(name)
    return {(name, secret.type, secret.secret_hash) for name, secret in found if not _is_expected(name, secret.type)}


def known() -> set[tuple[str, str, str]]:
    return {tuple(entry) for entry in json.loads(BASELINE.read_text("utf-8"))}


@pytest.mark.timeout(300)
def test_no_new_secret_is_in_the_repository() -> None:
    found = suspects()
    assert {(name, kind) for name, kind, _ in found - known()} == set()


@pytest.mark.parametrize(
    "line",
    [
        "-----BEGIN RSA PRIVATE " + "KEY-----",
        "aws = 'AKIA" + "IOSFODNN7EXAMPLF'",
        "stripe = 'sk_live_" + "4eC39HqLyjWDarjtT1zdp7dcabcd'",
        "github = 'ghp_" + "1234567890abcdefghijklmnopqrstuvwxyzAB'",
        "url = 'postgresql://owner:" + "hunter2@db.example/x'",
    ],
)
def test_the_scanner_finds_what_it_is_for(tmp_path: Path, line: str) -> None:
    (tmp_path / "module.py").write_text(line)
    found = SecretsCollection(root=str(tmp_path))
    with default_settings():
        found.scan_file("module.py")
    assert list(found)


def secret_fields() -> list[str]:
    return [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


def test_secret_settings_are_typed_as_secrets() -> None:
    named = [
        name
        for name, field in Settings.model_fields.items()
        if any(part in name for part in ("secret", "password", "api_key", "private", "master_key"))
    ]
    assert len(named) >= 5
    assert set(named) <= set(secret_fields())


def test_no_text_about_the_settings_shows_a_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = {name: f"hunter2-{name}" for name in secret_fields()} | {"smtp_url": "smtp://me:hunter2@mail.example:587"}
    settings = Settings(**{name: SecretStr(word) for name, word in words.items()})  # type: ignore[arg-type]
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("%s %r", settings, settings)
    shown = [repr(settings), str(settings), f"{settings}", settings.model_dump_json(), str(settings.model_dump())]
    shown += [str(dict(settings)), caplog.text]
    for text in shown:
        assert "hunter2" not in text
    # It travels to the replicas whole.
    again: Settings = pickle.loads(pickle.dumps(settings))
    assert all(getattr(again, name).get_secret_value() == word for name, word in words.items())


def test_a_setting_that_is_not_valid_is_not_echoed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in secret_fields():
        with pytest.raises(ValueError, match=name) as caught:
            Settings(**{name: ["hunter2"]})  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)


if __name__ == "__main__":
    BASELINE.write_text(json.dumps(sorted(suspects()), indent=1) + "\n", "utf-8")
