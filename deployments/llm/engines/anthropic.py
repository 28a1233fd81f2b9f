"""Anthropic's messages protocol, through the official SDK.

Options are `configs.engine_options.AnthropicOptions`.
"""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from configs.engine_options import AnthropicOptions
from configs.settings import Settings
from configs.tables import EngineSpec, ModelSpec
from deployments.llm.engines.provider import ProviderLink, estimated_usage
from deployments.llm.provider_limits import ProviderLimits
from domain.answer_form import NO_JSON
from domain.errors import EngineFailed, InvalidInput, Unavailable
from domain.generation import Delta, FinishReason, GenerationRequest, Usage
from storage.models.provider_errors import ENDED_EARLY

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

CONNECT_SECONDS = 5.0
PROBE_TIMEOUT_SECONDS = 4.0


class AnthropicEngine:
    def __init__(
        self,
        settings: Settings,
        name: str,
        spec: EngineSpec,
        models: dict[str, ModelSpec],
        limits: ProviderLimits | None = None,
    ) -> None:
        self._link = ProviderLink(name, limits or ProviderLimits(), self._probe)
        self._options = AnthropicOptions.model_validate(spec.options)
        self._models = models
        self._base_url = self._options.base_url or settings.anthropic_base_url or None
        self._key = settings.anthropic_api_key.get_secret_value() if settings.anthropic_api_key else "none"
        self._client: AsyncAnthropic | None = None

    async def open(self) -> None:
        from anthropic import AsyncAnthropic, Timeout

        self._client = AsyncAnthropic(
            api_key=self._key,
            base_url=self._base_url,
            timeout=Timeout(self._options.read_timeout_seconds, connect=CONNECT_SECONDS),
            max_retries=0,
        )

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        client = self._client
        if client is None:
            raise Unavailable
        arguments = self._arguments(request)
        meter = _Meter()
        try:
            stream = await self._link.begin(request.model, lambda: client.messages.create(**arguments))
            async with stream:
                async for event in stream:
                    if text := meter.read(event):
                        yield Delta(text, 1)
        except Exception as error:
            raise self._link.failed(request.model, error, begun=meter.pieces > 0) from error
        if meter.finish is None:
            raise EngineFailed(ENDED_EARLY)
        usage = meter.usage or estimated_usage(request, meter.written)
        yield Delta("", max(0, usage.completion_tokens - meter.pieces), meter.finish, usage)

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
        await self._client.models.list(limit=1, timeout=PROBE_TIMEOUT_SECONDS)

    def _arguments(self, request: GenerationRequest) -> dict[str, Any]:
        spec = self._models.get(request.model)
        system = "\n\n".join(message.content for message in request.messages if message.role == "system")
        arguments: dict[str, Any] = {
            "model": (spec and spec.provider_model) or request.model,
            "messages": [
                {"role": message.role, "content": message.content}
                for message in request.messages
                if message.role != "system"
            ],
            "max_tokens": request.max_tokens,
            "stream": True,
        }
        if spec is not None and spec.sends_temperature:
            # The SDK has no argument for it any more, but older models take one. Theirs ends at 1, ours at 2.
            arguments["extra_body"] = {"temperature": min(request.temperature, 1.0)}
        if system:
            arguments["system"] = system
        if request.form is not None:
            if not self._options.structured_output:
                raise InvalidInput(NO_JSON)
            if not request.form.schema:
                raise InvalidInput("The language model of this chatbot answers in JSON by a JSON Schema only.")
            arguments["output_config"] = {"format": {"type": "json_schema", "schema": request.form.schema_object}}
        if request.stop:
            arguments["stop_sequences"] = list(request.stop)
        return arguments


class _Meter:
    """What the events of one stream have said so far."""

    def __init__(self) -> None:
        self.prompt = self.completion = self.cached = self.pieces = 0
        self.finish: FinishReason | None = None
        self.written: list[str] = []

    @property
    def usage(self) -> Usage | None:
        """As the provider counted; None where it did not."""
        return Usage(self.prompt, self.completion, self.cached) if self.prompt and self.completion else None

    def read(self, event: Any) -> str:
        """Note the event, and return the text that it carries. Unknown events are passed over, as the protocol asks."""
        if event.type == "message_start":
            if (usage := getattr(event.message, "usage", None)) is not None:
                self.cached = usage.cache_read_input_tokens or 0
                self.prompt = (usage.input_tokens or 0) + self.cached + (usage.cache_creation_input_tokens or 0)
        elif event.type == "message_delta":
            self.completion = getattr(getattr(event, "usage", None), "output_tokens", None) or 0
            if event.delta.stop_reason is not None:
                at_limit = event.delta.stop_reason in ("max_tokens", "model_context_window_exceeded")
                self.finish = FinishReason.LENGTH if at_limit else FinishReason.STOP
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            self.pieces += bool(event.delta.text)
            self.written.append(event.delta.text)
            return str(event.delta.text)
        return ""
