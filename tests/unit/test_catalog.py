"""Which engines can run is decided by what is installed and what is configured."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from configs.engine_environment import engine_environment
from configs.settings import Settings
from configs.tables import EngineSpec, ModelTable, load_models
from deployments.llm import catalog
from deployments.llm.catalog import build_engine, needs_no_network, usable_engines
from domain.errors import InvalidInput

TABLE = load_models()


def settings(**more: Any) -> Settings:
    none = {"openai_api_key": None, "openai_base_url": None, "anthropic_api_key": None, "anthropic_base_url": None}
    return Settings(_env_file=None, **(none | more))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    names = {"vllm", "xllamacpp"}
    monkeypatch.setattr(catalog, "find_spec", lambda name: name in names or None)
    monkeypatch.setattr("sys.platform", "linux")
    return names


def test_one_local_engine_runs_and_vllm_is_preferred(installed: set[str]) -> None:
    assert usable_engines(settings(), TABLE) == ["local-vllm"]
    installed.remove("vllm")
    assert usable_engines(settings(), TABLE) == ["local-llamacpp"]
    installed.clear()
    assert usable_engines(settings(), TABLE) == []


def test_the_setting_decides_over_what_is_installed(installed: set[str]) -> None:
    assert usable_engines(settings(local_engine="llamacpp"), TABLE) == ["local-llamacpp"]
    assert usable_engines(settings(local_engine="none"), TABLE) == []


def test_providers_need_a_key_or_an_address(installed: set[str]) -> None:
    assert usable_engines(settings(local_engine="none", openai_api_key=SecretStr("k")), TABLE) == ["openai"]
    here = settings(local_engine="none", openai_base_url="http://localhost:1/v1", anthropic_api_key=SecretStr("k"))
    assert usable_engines(here, TABLE) == ["openai", "anthropic"]


def test_engines_without_a_model_do_not_run() -> None:
    table = ModelTable(engines={"s": EngineSpec(kind="scripted")}, models={})
    assert usable_engines(settings(), table) == []
    with pytest.raises(InvalidInput):
        build_engine(settings(), table, "nothing")


def test_the_shipped_weights_need_no_network() -> None:
    assert needs_no_network(TABLE, "local-vllm")
    assert engine_environment(TABLE.engines["local-vllm"], offline=True)["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in engine_environment(TABLE.engines["local-vllm"], offline=False)
    assert engine_environment(TABLE.engines["openai"], offline=False) == {}


@pytest.mark.parametrize(
    ("engines", "models"),
    [
        ({}, {"m": {"engines": ["x"], "context_tokens": 1000}}),
        ({"x": {"kind": "vllm"}}, {"m": {"engines": ["x"], "context_tokens": 1000}}),
        (
            {"x": {"kind": "vllm"}},
            {
                "m": {"engines": ["x"], "weights": "a/b", "context_tokens": 1000},
                "n": {"engines": ["x"], "weights": "c/d", "context_tokens": 1000},
            },
        ),
    ],
    ids=["unknown engine", "no weights", "two models in one engine"],
)
def test_a_table_that_cannot_work_is_refused(engines: dict[str, Any], models: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelTable.model_validate({"engines": engines, "models": models})
