"""vLLM in this process, on CPU or GPU: the same code with the matching build of vLLM.

Options are `configs.engine_options.VllmOptions`. Models of the same weights share the engine, each with its LoRA
adapter or none.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import structlog

from configs.engine_options import VllmOptions
from configs.settings import Settings
from configs.tables import EngineSpec, ModelSpec
from domain.answer_form import NO_JSON, AnswerForm
from domain.errors import AppError, EngineFailed, InvalidInput, Unavailable
from domain.generation import Delta, FinishReason, GenerationRequest, Usage
from domain.prompt_safety import break_tokens
from storage.models.store import read_template, resolve_adapter, resolve_weights

log = structlog.get_logger(__name__)

MOST_LORAS = 8
"""Adapters in one step, unless the options say another number."""
_FORWARDED = ("dtype", "gpu_memory_utilization", "tensor_parallel_size", "quantization", "trust_remote_code")


class VllmEngine:
    """Needs the environment of `configs.engine_environment` set before the process starts."""

    def __init__(self, settings: Settings, spec: EngineSpec, models: dict[str, ModelSpec]) -> None:
        self._settings = settings
        self._spec = spec
        self._options = VllmOptions.model_validate(spec.options)
        self._models = models
        self._model = next(iter(models.values()))
        """Of all: they differ in their adapters."""
        self._adapters: dict[str, Any] = {}
        """By the key of the model, as vLLM takes them."""
        self._llm: Any = None
        self._template: str | None = None
        self._tokenizer: Any = None
        self._control_tokens: tuple[str, ...] = ()
        self._numbers = itertools.count()

    async def open(self) -> None:
        if self._model.weights is None:
            raise Unavailable("The vLLM engine needs the weights of a model.")
        weights = resolve_weights(self._settings, self._model.weights)
        if self._options.chat_template is not None:
            self._template = read_template(self._options.chat_template)
        arguments = self._arguments(weights)
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        try:
            # The constructor binds to the running loop; nothing else runs in the replica before it is open.
            self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except (ValueError, TypeError) as error:  # pydantic's are among them
            log.error("vllm_refused_its_settings", error=str(error))
            raise Unavailable("vLLM does not accept the settings of its engine in models.yaml; see the log.") from error
        self._tokenizer = self._llm.get_tokenizer()
        self._control_tokens = tuple(self._tokenizer.all_special_tokens)
        await self._load_adapters()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        llm = self._llm
        if llm is None or llm.errored:
            raise Unavailable("The language model is not running at the moment; try again.")
        from vllm.exceptions import VLLMClientError
        from vllm.inputs.engine import tokens_input

        prompt = self._tokens(request)
        sampling = self._sampling(request, room=self._model.context_tokens - len(prompt))
        # The engine refuses an id that it has not let go of yet, as after a cancelled attempt of the same turn.
        number = f"{request.id}-{next(self._numbers)}"
        adapter = self._adapters.get(request.model)
        outputs = llm.generate(tokens_input(prompt), sampling, number, lora_request=adapter)
        completion = held = 0
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    part = output.outputs[0]
                    completion += len(part.token_ids)
                    held += len(part.token_ids)
                    if output.finished:
                        if part.finish_reason not in ("stop", "length"):
                            raise EngineFailed
                        usage = Usage(len(prompt), completion, output.num_cached_tokens or 0)
                        yield Delta(part.text, held, FinishReason(part.finish_reason), usage)
                        return
                    if part.text:  # bytes of an unfinished character are held back by the engine
                        yield Delta(part.text, held)
                        held = 0
            raise EngineFailed
        except AppError:
            raise
        except VLLMClientError as error:
            log.warning("vllm_refused", error=type(error).__name__)
            raise InvalidInput("The language model does not accept this request.") from error
        except Exception as error:
            log.error("vllm_failed", error=type(error).__name__, dead=llm.errored)
            raise EngineFailed from error

    async def healthy(self) -> bool:
        return self._llm is not None and not self._llm.errored

    async def reachable(self) -> bool:
        return True

    async def close(self) -> None:
        llm, self._llm = self._llm, None
        if llm is None:
            return
        if llm.output_handler is not None:
            llm.output_handler.cancel()  # it would take the end of the engine's process for a crash
        await asyncio.to_thread(llm.shutdown, timeout=10.0)

    def _arguments(self, weights: str) -> dict[str, Any]:
        """Of vLLM's engine."""
        from vllm.config import StructuredOutputsConfig
        from vllm.platforms import current_platform

        options = self._options
        chosen = {key: getattr(options, key) for key in _FORWARDED}
        arguments: dict[str, Any] = {
            "model": weights,
            "max_model_len": self._model.context_tokens,
            "max_num_seqs": self._spec.max_running,
            "enforce_eager": current_platform.is_cpu() if options.enforce_eager is None else options.enforce_eager,
            "enable_prefix_caching": options.prefix_caching,
            "disable_log_stats": True,
        }
        arguments |= {key: value for key, value in chosen.items() if value is not None}
        if options.speculative is not None:
            arguments["speculative_config"] = dict(options.speculative)
        if options.structured_output != "off":
            # Compact, for a small model that may write white space as it likes goes on doing so.
            arguments["structured_outputs_config"] = StructuredOutputsConfig(
                backend=options.structured_output, disable_any_whitespace=True
            )
        if adapters := [one for one in self._models.values() if one.adapter is not None]:
            arguments["enable_lora"] = True
            arguments["max_loras"] = options.max_loras or min(len(adapters), MOST_LORAS)
            arguments["max_cpu_loras"] = max(len(adapters), arguments["max_loras"])
            arguments["max_lora_rank"] = options.max_lora_rank
        return arguments

    async def _load_adapters(self) -> None:
        """All at once, so that a broken one is known before the first question."""
        from vllm.lora.request import LoRARequest

        for number, (key, model) in enumerate(self._models.items(), start=1):
            if model.adapter is None:
                continue
            request = LoRARequest(key, number, resolve_adapter(self._settings, model.adapter))
            try:
                await self._llm.add_lora(request)
            except Exception as error:
                log.error("adapter_not_loaded", model=key, error=str(error))
                raise Unavailable(f"The adapter of the model {key!r} cannot be loaded over its weights.") from error
            self._adapters[key] = request

    def _tokens(self, request: GenerationRequest) -> list[int]:
        messages = [
            {"role": message.role, "content": break_tokens(message.content, self._control_tokens)}
            for message in request.messages
        ]
        tokens: list[int] = self._tokenizer.apply_chat_template(
            messages,
            chat_template=self._template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
        if len(tokens) >= self._model.context_tokens:
            raise InvalidInput("The conversation is too long for this model.")
        return tokens

    def _sampling(self, request: GenerationRequest, room: int) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        form = {} if request.form is None else {"structured_outputs": self._held_to(request.form)}
        return SamplingParams(
            **form,
            temperature=request.temperature,
            max_tokens=min(request.max_tokens, room),
            stop=list(request.stop),
            output_kind=RequestOutputKind.DELTA,
        )

    def _held_to(self, form: AnswerForm) -> Any:
        from vllm.sampling_params import StructuredOutputsParams

        if self._options.structured_output == "off":
            raise InvalidInput(NO_JSON)
        return StructuredOutputsParams(json=form.schema) if form.schema else StructuredOutputsParams(json_object=True)
