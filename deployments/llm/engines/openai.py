"""OpenAI and every server that speaks its chat-completions protocol, through the official SDK.

Options: `base_url` (else OPENAI_BASE_URL, else OpenAI's own), `keyless` (true: send no key of ours to that server),
`read_timeout_seconds` (60), `token_limit_field` (`max_completion_tokens` at OpenAI, `max_tokens` elsewhere).
"""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from configs.settings import Settings
from configs.tables import EngineSpec, ModelSpec
from domain.errors import EngineFailed, Unavailable
from domain.generation import Delta, FinishReason, GenerationRequest, Usage
from storage.models.provider_errors import ENDED_EARLY, begin_stream, provider_error
from storage.models.tokenizer import EstimatedTokenCounter

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_SECONDS = 5.0


class OpenAiEngine:
    def __init__(self, settings: Settings, name: str, spec: EngineSpec, models: dict[str, ModelSpec]) -> None:
        self._name = name
        self._options = spec.options
        self._models = models
        self._base_url = str(spec.options.get("base_url") or settings.openai_base_url or "") or None
        keyless = bool(spec.options.get("keyless")) or settings.openai_api_key is None
        self._key = "none" if keyless or settings.openai_api_key is None else settings.openai_api_key.get_secret_value()
        self._client: AsyncOpenAI | None = None

    async def open(self) -> None:
        from openai import AsyncOpenAI, Timeout

        read = float(self._options.get("read_timeout_seconds", 60.0))
        self._client = AsyncOpenAI(
            api_key=self._key,
            base_url=self._base_url,
            timeout=Timeout(read, connect=CONNECT_SECONDS),
            max_retries=0,
        )

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
            stream = await begin_stream(lambda: client.chat.completions.create(**arguments))
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
            raise provider_error(self._name, error, begun=pieces > 0) from error
        if finish is None:
            raise EngineFailed(ENDED_EARLY)
        exact = usage or _estimate(request, written)
        yield Delta("", max(0, exact.completion_tokens - pieces), finish, exact)

    async def healthy(self) -> bool:
        return self._client is not None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _arguments(self, request: GenerationRequest) -> dict[str, Any]:
        spec = self._models.get(request.model)
        limit = str(
            self._options.get("token_limit_field") or ("max_tokens" if self._base_url else "max_completion_tokens")
        )
        arguments: dict[str, Any] = {
            "model": (spec and spec.provider_model) or request.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            limit: request.max_tokens,
        }
        if spec is None or spec.sends_temperature is not False:
            arguments["temperature"] = request.temperature
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


def _estimate(request: GenerationRequest, written: list[str]) -> Usage:
    """For servers that do not report usage."""
    count = EstimatedTokenCounter().count
    return Usage(sum(count(message.content) for message in request.messages), count("".join(written)))
