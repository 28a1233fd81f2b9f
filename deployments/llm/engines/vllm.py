"""vLLM in this process, on CPU or GPU: the same code with the matching build of vLLM.

Options: `enforce_eager` (true on CPU, where compiling takes minutes and gains nothing), `dtype`, `kv_cache_gib`
(CPU only, see configs/engine_environment.py), `gpu_memory_utilization`, `tensor_parallel_size`, `quantization`,
`trust_remote_code`.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import structlog

from configs.settings import Settings
from configs.tables import EngineSpec, ModelSpec
from domain.errors import AppError, EngineFailed, InvalidInput, Unavailable
from domain.generation import Delta, FinishReason, GenerationRequest, Usage
from domain.prompt_safety import break_tokens
from storage.models.store import resolve_weights

log = structlog.get_logger(__name__)

_FORWARDED = ("dtype", "gpu_memory_utilization", "tensor_parallel_size", "quantization", "trust_remote_code")


class VllmEngine:
    """Needs the environment of `configs.engine_environment` set before the process starts."""

    def __init__(self, settings: Settings, spec: EngineSpec, model: ModelSpec) -> None:
        self._settings = settings
        self._spec = spec
        self._model = model
        self._llm: Any = None
        self._tokenizer: Any = None
        self._control_tokens: tuple[str, ...] = ()
        self._numbers = itertools.count()

    async def open(self) -> None:
        if self._model.weights is None:
            raise Unavailable("The vLLM engine needs the weights of a model.")
        weights = resolve_weights(self._settings, self._model.weights)
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncLLM

        arguments: dict[str, Any] = {key: self._spec.options[key] for key in _FORWARDED if key in self._spec.options}
        # The constructor binds to the running loop; nothing else runs in the replica before it is open.
        self._llm = AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=weights,
                max_model_len=self._model.context_tokens,
                max_num_seqs=self._spec.max_running,
                enforce_eager=bool(self._spec.options.get("enforce_eager", current_platform.is_cpu())),
                enable_prefix_caching=True,
                disable_log_stats=True,
                **arguments,
            )
        )
        self._tokenizer = self._llm.get_tokenizer()
        self._control_tokens = tuple(self._tokenizer.all_special_tokens)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        llm = self._llm
        if llm is None or llm.errored:
            raise Unavailable("The language model is not running at the moment; try again.")
        from vllm.exceptions import VLLMClientError
        from vllm.inputs.engine import tokens_input

        prompt = self._tokens(request)
        sampling = self._sampling(request, room=self._model.context_tokens - len(prompt))
        # The engine refuses an id that it has not let go of yet, as after a cancelled attempt of the same turn.
        outputs = llm.generate(tokens_input(prompt), sampling, f"{request.id}-{next(self._numbers)}")
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

    def _tokens(self, request: GenerationRequest) -> list[int]:
        messages = [
            {"role": message.role, "content": break_tokens(message.content, self._control_tokens)}
            for message in request.messages
        ]
        tokens: list[int] = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        if len(tokens) >= self._model.context_tokens:
            raise InvalidInput("The conversation is too long for this model.")
        return tokens

    def _sampling(self, request: GenerationRequest, room: int) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        return SamplingParams(
            temperature=request.temperature,
            max_tokens=min(request.max_tokens, room),
            stop=list(request.stop),
            output_kind=RequestOutputKind.DELTA,
        )
