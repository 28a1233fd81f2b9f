"""OpenAI and every server that speaks its chat-completions protocol, through the official SDK; Azure's too.

Options are `configs.engine_options.OpenAiOptions`. An engine of the kind `azure` takes `base_url` as the endpoint of
its resource (else AZURE_OPENAI_ENDPOINT), and models whose `provider_model` is the name of their deployment.
"""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from configs.engine_options import OpenAiOptions
from configs.settings import Settings
from configs.tables import EngineSpec, ModelSpec
from deployments.llm.engines.provider import ProviderLink, estimated_usage
from deployments.llm.provider_limits import ProviderLimits
from domain.answer_form import NO_JSON
from domain.errors import EngineFailed, InvalidInput, Unavailable
from domain.generation import Delta, FinishReason, GenerationRequest, Usage
from storage.models.provider_errors import ENDED_EARLY

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_SECONDS = 5.0
PROBE_TIMEOUT_SECONDS = 4.0
AZURE_API_VERSION = "2024-10-21"


class OpenAiEngine:
    def __init__(
        self,
        settings: Settings,
        name: str,
        spec: EngineSpec,
        models: dict[str, ModelSpec],
        limits: ProviderLimits | None = None,
    ) -> None:
        self._settings = settings
        self._azure = spec.kind == "azure"
        self._options = OpenAiOptions.model_validate(spec.options)
        self._models = models
        self._link = ProviderLink(name, limits or ProviderLimits(), self._probe)
        self._base_url = self._options.base_url or settings.openai_base_url or None
        keyless = self._options.keyless or settings.openai_api_key is None
        self._key = "none" if keyless or settings.openai_api_key is None else settings.openai_api_key.get_secret_value()
        self._client: AsyncOpenAI | None = None

    async def open(self) -> None:
        from openai import AsyncAzureOpenAI, AsyncOpenAI, Timeout

        timeout = Timeout(self._options.read_timeout_seconds, connect=CONNECT_SECONDS)
        if self._azure:
            key = self._settings.azure_openai_api_key
            self._client = AsyncAzureOpenAI(
                azure_endpoint=self._options.base_url or self._settings.azure_openai_endpoint or "",
                api_key=key.get_secret_value() if key else "none",
                api_version=self._options.api_version or AZURE_API_VERSION,
                timeout=timeout,
                max_retries=0,
            )
        else:
            self._client = AsyncOpenAI(api_key=self._key, base_url=self._base_url, timeout=timeout, max_retries=0)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        client = self._client
        if client is None:
            raise Unavailable
        arguments = self._arguments(request)
        pieces = 0
        finish: FinishReason | None = None
        usage: Usage | None = None
        written: list[str] = []
        try:
            stream = await self._link.begin(request.model, lambda: client.chat.completions.create(**arguments))
            async with stream:
                async for chunk in stream:
                    usage = _usage(getattr(chunk, "usage", None)) or usage
                    for choice in (chunk.choices or [])[:1]:
                        finish = _finish(choice.finish_reason) or finish
                        if choice.delta is not None and choice.delta.content:
                            pieces += 1
                            written.append(choice.delta.content)
                            yield Delta(choice.delta.content, 1)
        except Exception as error:
            raise self._link.failed(request.model, error, begun=pieces > 0) from error
        if finish is None:
            raise EngineFailed(ENDED_EARLY)
        exact = usage or estimated_usage(request, written)
        yield Delta("", max(0, exact.completion_tokens - pieces), finish, exact)

    async def healthy(self) -> bool:
        return self._client is not None

    async def reachable(self) -> bool:
        return self._client is not None and await self._link.reachable()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _probe(self) -> None:
        assert self._client is not None
        await self._client.models.list(timeout=PROBE_TIMEOUT_SECONDS)

    def _arguments(self, request: GenerationRequest) -> dict[str, Any]:
        spec = self._models.get(request.model)
        elsewhere = self._base_url and not self._azure
        limit = self._options.token_limit_field or ("max_tokens" if elsewhere else "max_completion_tokens")
        arguments: dict[str, Any] = {
            "model": (spec and spec.provider_model) or request.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            limit: request.max_tokens,
        }
        if spec is None or spec.sends_temperature is not False:
            arguments["temperature"] = request.temperature
        if request.form is not None:
            if not self._options.structured_output:
                raise InvalidInput(NO_JSON)
            arguments["response_format"] = request.form.response_format
        if request.stop:
            arguments["stop"] = list(request.stop)
        return arguments


def _finish(reason: str | None) -> FinishReason | None:
    if reason is None:
        return None
    return FinishReason.LENGTH if reason == "length" else FinishReason.STOP


def _usage(usage: Any) -> Usage | None:
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    details = getattr(usage, "prompt_tokens_details", None)
    return Usage(usage.prompt_tokens, usage.completion_tokens, getattr(details, "cached_tokens", None) or 0)
