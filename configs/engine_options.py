"""What each kind of engine takes as `options` in configs/models.yaml, checked when the table is read."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Address = Annotated[str, Field(pattern=r"^https?://", max_length=2_000)]
Scalar = str | int | float | bool


class EngineOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class VllmOptions(EngineOptions):
    enforce_eager: bool | None = None
    """Whether nothing is compiled; when unset, so on CPUs, where compiling takes minutes and gains nothing."""
    dtype: Literal["auto", "half", "float16", "bfloat16", "float", "float32"] | None = None
    kv_cache_gib: int = Field(1, ge=1, le=4_096)
    """Of main memory, in a build for CPUs: what is kept of prompts and answers."""
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1)
    tensor_parallel_size: int | None = Field(None, ge=1, le=64)
    quantization: str | None = Field(None, pattern=r"^[a-z0-9_.-]{1,40}$")
    """A method of vLLM's, as `fp8` or `awq`."""
    trust_remote_code: bool | None = None
    prefix_caching: bool = True
    """Whether what prompts begin with alike is computed once."""
    structured_output: Literal["xgrammar", "guidance", "off"] = "xgrammar"
    """What holds answers to a JSON Schema; `off` refuses such requests."""
    chat_template: str | None = Field(None, min_length=1, max_length=1_000)
    """A Jinja file in place of the model's own template."""
    speculative: dict[str, Scalar] | None = Field(None, min_length=1, max_length=32)
    """vLLM's `speculative_config`, as `{method: ngram, num_speculative_tokens: 4, prompt_lookup_max: 4}`."""
    max_loras: int | None = Field(None, ge=1, le=64)
    """Adapters in one step; when unset, as many as models of the engine have, up to eight."""
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 16


class LlamaCppOptions(EngineOptions):
    threads: int = Field(0, ge=0, le=1_024)
    """0: all processors."""
    cache_mib: int = Field(64, ge=0, le=1_048_576)
    """The bound of the prefix cache."""
    chat_template: str | None = Field(None, min_length=1, max_length=1_000)
    """A Jinja file in place of the model's own template."""


class OpenAiOptions(EngineOptions):
    base_url: Address | None = None
    """OPENAI_BASE_URL, else OpenAI's own, when unset; at Azure the endpoint of the resource."""
    keyless: bool = False
    """Send no key of ours to that server."""
    read_timeout_seconds: float = Field(60.0, gt=0, le=3_600)
    token_limit_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    """When unset: `max_completion_tokens` at OpenAI and Azure, `max_tokens` elsewhere."""
    api_version: str | None = Field(None, pattern=r"^[A-Za-z0-9.-]{1,40}$")
    """Of Azure."""
    structured_output: bool = True
    """Whether the server takes `response_format`; requests for it are refused where not."""


class AnthropicOptions(EngineOptions):
    base_url: Address | None = None
    """ANTHROPIC_BASE_URL, else Anthropic's own, when unset."""
    read_timeout_seconds: float = Field(60.0, gt=0, le=3_600)
    structured_output: bool = True
    """Whether the model takes `output_config`; requests for it are refused where not."""


class ScriptedOptions(EngineOptions):
    """See deployments/llm/engines/scripted.py."""

    reply: str = ""
    tokens: int = Field(0, ge=0)
    tokens_per_second: float = Field(0.0, ge=0)
    first_token_ms: float = Field(0.0, ge=0)
    open_ms: float = Field(0.0, ge=0)
    batch: int = Field(16, ge=1)
    fail: Literal["never", "before", "midway", "busy", "refuse", "hang", "dead"] = "never"
    fail_every: int = Field(1, ge=1)
    fail_rate: float = Field(1.0, ge=0, le=1)
    seed: int = 0


OPTIONS: dict[str, type[EngineOptions]] = {
    "vllm": VllmOptions,
    "llamacpp": LlamaCppOptions,
    "openai": OpenAiOptions,
    "azure": OpenAiOptions,
    "anthropic": AnthropicOptions,
    "scripted": ScriptedOptions,
}
