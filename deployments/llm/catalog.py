"""Which engines can run here, and how each is made."""

import sys
from importlib.util import find_spec

from configs.settings import Settings
from configs.tables import EngineSpec, ModelTable
from deployments.llm.engines.protocol import Engine
from deployments.llm.provider_limits import ProviderLimits
from domain.errors import InvalidInput
from storage.models.store import is_local, resolve_gguf


def usable_engines(settings: Settings, table: ModelTable) -> list[str]:
    """Names of the engines of `table` that this platform and these settings can run, in the order of the file.

    Providers need a key or a base URL. Local weights run in one kind of engine only, because two would hold them in
    memory twice: vLLM where it is installed and `local_engine` does not say otherwise, else llama.cpp.
    """
    local = _local_kind(settings)
    return [name for name, spec in table.engines.items() if _usable(settings, table, name, spec, local)]


def _local_kind(settings: Settings) -> str | None:
    if settings.local_engine == "none":
        return None
    if settings.local_engine != "auto":
        return settings.local_engine
    return "vllm" if sys.platform == "linux" and find_spec("vllm") else "llamacpp"


def _usable(settings: Settings, table: ModelTable, name: str, spec: EngineSpec, local: str | None) -> bool:
    models = table.models_of(name)
    if not models:
        return False
    if spec.kind == "openai":
        return bool(spec.options.get("base_url") or settings.openai_base_url or settings.openai_api_key)
    if spec.kind == "azure":
        endpoint = spec.options.get("base_url") or settings.azure_openai_endpoint
        return bool(endpoint and settings.azure_openai_api_key)
    if spec.kind == "anthropic":
        return bool(spec.options.get("base_url") or settings.anthropic_base_url or settings.anthropic_api_key)
    if spec.kind == "scripted":
        return True
    if spec.kind != local:
        return False
    if spec.kind == "vllm":
        return find_spec("vllm") is not None
    return find_spec("xllamacpp") is not None and resolve_gguf(next(iter(models.values())).weights or "") is not None


def needs_no_network(table: ModelTable, name: str) -> bool:
    """Whether the weights of an engine are on disk: `offline` of `configs.engine_environment`."""
    return all(is_local(spec.weights) for spec in table.models_of(name).values() if spec.weights)


def build_engine(settings: Settings, table: ModelTable, name: str, limits: ProviderLimits | None = None) -> Engine:
    """The engine of that name, not yet open; only its own library is imported, and that when it opens.

    A provider's tells `limits` what it learns of them.
    """
    spec = table.engines.get(name)
    if spec is None:
        raise InvalidInput(f"There is no engine named {name!r}.")
    models = table.models_of(name)
    if spec.kind == "scripted":
        from deployments.llm.engines.scripted import ScriptedEngine

        return ScriptedEngine(spec)
    if not models:
        raise InvalidInput(f"No model names the engine {name!r}.")
    if spec.kind in ("openai", "azure"):
        from deployments.llm.engines.openai import OpenAiEngine

        return OpenAiEngine(settings, name, spec, models, limits)
    if spec.kind == "anthropic":
        from deployments.llm.engines.anthropic import AnthropicEngine

        return AnthropicEngine(settings, name, spec, models, limits)
    if spec.kind == "vllm":
        from deployments.llm.engines.vllm import VllmEngine

        return VllmEngine(settings, spec, models)
    from deployments.llm.engines.llamacpp import LlamaCppEngine

    return LlamaCppEngine(settings, spec, next(iter(models.values())))
