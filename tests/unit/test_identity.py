"""identity.yaml: what is taken, and what is refused before anybody signs in."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.identity import load_identity

GOOD = {"name": "acme", "label": "Acme", "issuer": "https://acme.example/", "client_id": "us"}


def load(tmp_path: Path, *rows: dict[str, Any]) -> Any:
    file = tmp_path / "identity.yaml"
    file.write_text(yaml.safe_dump({"providers": list(rows)}))
    return load_identity(file)


def test_there_is_none_by_default() -> None:
    assert load_identity() == ()


def test_the_secret_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(tmp_path, {**GOOD, "client_secret_env": "ACME_SECRET"})[0]
    monkeypatch.delenv("ACME_SECRET", raising=False)
    with pytest.raises(ValueError, match="ACME_SECRET"):
        assert found.client_secret
    monkeypatch.setenv("ACME_SECRET", "hush")
    assert found.client_secret.get_secret_value() == "hush"
    assert "hush" not in repr(found)
    assert load(tmp_path, GOOD)[0].client_secret is None


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://acme.example"},
        {"issuer": "https://acme.example/?x=1"},
        {"issuer": "https://acme.example/#x"},
        {"issuer": "https://user:x@acme.example"},
        {"issuer": "https://"},
        {"issuer": "acme.example"},
        {"name": "Acme"},
        {"name": "../acme"},
        {"name": ""},
        {"client_id": ""},
        {"client_secret": "in the file"},
        {"domains": ["*"]},
        {"domains": ["ACME.example"]},
        {"domains": ["acme.example", "@x"]},
    ],
)
def test_what_is_not_valid_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        load(tmp_path, {**GOOD, **change})


def test_no_two_share_a_name_or_an_issuer(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name"):
        load(tmp_path, GOOD, {**GOOD, "issuer": "https://other.example"})
    with pytest.raises(ValueError, match="issuer"):
        load(tmp_path, GOOD, {**GOOD, "name": "other"})
