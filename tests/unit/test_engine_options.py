"""Options of engines are checked when models.yaml is read, with a sentence that names the option."""

from typing import Any

import pytest
from pydantic import ValidationError

from configs.engine_options import OPTIONS, OpenAiOptions, VllmOptions
from configs.tables import EngineSpec, ModelTable


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("vllm", {"prefix_caching": False, "quantization": "fp8", "kv_cache_gib": 4, "max_lora_rank": 64}),
        ("vllm", {"speculative": {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4}}),
        ("vllm", {"structured_output": "off", "chat_template": "/srv/template.jinja", "gpu_memory_utilization": 0.9}),
        ("llamacpp", {"threads": 4, "cache_mib": 0}),
        ("openai", {"base_url": "http://localhost:11434/v1", "keyless": True, "structured_output": False}),
        ("azure", {"base_url": "https://x.openai.azure.com", "api_version": "2024-10-21"}),
        ("anthropic", {"read_timeout_seconds": 5}),
        ("scripted", {"tokens": 64, "tokens_per_second": 50, "fail": "before"}),
    ],
)
def test_what_an_engine_takes_is_read(kind: Any, options: dict[str, Any]) -> None:
    read = OPTIONS[kind].model_validate(EngineSpec(kind=kind, options=options).options)
    assert {name: getattr(read, name) for name in options} == options


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        ("vllm", {"prefix_cashing": True}, "prefix_cashing"),
        ("vllm", {"prefix_caching": "yes"}, "prefix_caching"),
        ("vllm", {"gpu_memory_utilization": 1.5}, "gpu_memory_utilization"),
        ("vllm", {"tensor_parallel_size": 0}, "tensor_parallel_size"),
        ("vllm", {"max_lora_rank": 7}, "max_lora_rank"),
        ("vllm", {"kv_cache_gib": -1}, "kv_cache_gib"),
        ("vllm", {"quantization": "; rm -rf /"}, "quantization"),
        ("vllm", {"structured_output": "maybe"}, "structured_output"),
        ("vllm", {"speculative": {}}, "speculative"),
        ("llamacpp", {"threads": -1}, "threads"),
        ("llamacpp", {"dtype": "half"}, "dtype"),
        ("openai", {"base_url": "file:///etc/passwd"}, "base_url"),
        ("openai", {"token_limit_field": "n"}, "token_limit_field"),
        ("anthropic", {"read_timeout_seconds": 0}, "read_timeout_seconds"),
        ("scripted", {"fail": "sometimes"}, "fail"),
    ],
)
def test_what_it_does_not_take_is_named(kind: Any, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=rf"the option '{named}[^']*' of a {kind} engine"):
        EngineSpec(kind=kind, options=options)


def test_options_that_are_left_out_have_safe_values() -> None:
    assert VllmOptions().prefix_caching
    assert VllmOptions().structured_output == "xgrammar"
    assert OpenAiOptions().read_timeout_seconds == 60


BASE = {"engines": ["local"], "weights": "smollm2-135m-instruct", "context_tokens": 2048}


def test_models_of_one_engine_differ_in_their_adapters() -> None:
    models: dict[str, Any] = {"plain": BASE, "shop": BASE | {"adapter": "shop"}, "law": BASE | {"adapter": "/srv/law"}}
    table = ModelTable.model_validate({"engines": {"local": {"kind": "vllm"}}, "models": models})
    assert [spec.adapter for spec in table.models_of("local").values()] == [None, "shop", "/srv/law"]


@pytest.mark.parametrize("kind", ["llamacpp", "openai", "scripted"])
def test_an_adapter_needs_vllm(kind: str) -> None:
    model = BASE | {"adapter": "shop", "price_micro_per_token": {"prompt": 0, "completion": 0}}
    with pytest.raises(ValidationError, match="adapter"):
        ModelTable.model_validate({"engines": {"local": {"kind": kind}}, "models": {"m": model}})
