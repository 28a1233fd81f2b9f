"""llama.cpp in this process, for machines without a vLLM wheel or with little memory.

Options are `configs.engine_options.LlamaCppOptions`. `max_running` of the engine is its number of slots, each with the
whole context of the model. Weights must be a GGUF file.
"""

import asyncio
import os
import secrets
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from configs.engine_options import LlamaCppOptions
from configs.settings import Settings
from configs.tables import EngineSpec, ModelSpec
from domain.errors import AppError, EngineFailed, InvalidInput, Unavailable
from domain.generation import Delta, FinishReason, GenerationRequest, Usage
from domain.prompt_safety import break_tokens
from storage.models.store import prepared_dir, read_template, resolve_gguf
from storage.models.tokenizer import control_tokens

log = structlog.get_logger(__name__)


class LlamaCppEngine:
    """Needs the environment of `configs.engine_environment` set before the process starts."""

    def __init__(self, settings: Settings, spec: EngineSpec, model: ModelSpec) -> None:
        self._settings = settings
        self._spec = spec
        self._options = LlamaCppOptions.model_validate(spec.options)
        self._model = model
        self._server: Any = None
        self._threads: ThreadPoolExecutor | None = None
        self._control_tokens: tuple[str, ...] = ()
        self._running: set[_Generation] = set()

    async def open(self) -> None:
        weights = self._model.weights or ""
        file = resolve_gguf(weights)
        if file is None:
            raise Unavailable("The llama.cpp engine needs a GGUF file as the weights of its model.")
        import xllamacpp

        slots = self._spec.max_running
        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.n_parallel = slots
        params.n_ctx = self._model.context_tokens * slots
        params.cpuparams.n_threads = self._options.threads or os.cpu_count() or 1
        params.cache_ram_mib = self._options.cache_mib
        if self._options.chat_template is not None:
            params.chat_template = read_template(self._options.chat_template)
            params.use_jinja = True
        params.verbosity = -1
        # It listens on a loopback port besides: nobody knows the key, and there is nothing to look at.
        params.api_keys = [secrets.token_urlsafe(32)]
        params.cors_origins = "http://127.0.0.1"
        params.endpoint_slots = False
        params.endpoint_props = False
        params.ui = False
        try:
            self._server = await asyncio.to_thread(xllamacpp.Server, params)
        except Exception as error:
            log.error("llamacpp_open_failed", error=type(error).__name__)
            raise Unavailable("The llama.cpp engine could not load its model.") from error
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="llamacpp")
        self._control_tokens = control_tokens(prepared_dir(self._settings, weights))

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        if self._server is None or self._threads is None:
            raise Unavailable("The language model is not running at the moment; try again.")
        generation = _Generation(self._server, self._body(request))
        self._running.add(generation)
        done = asyncio.get_running_loop().run_in_executor(self._threads, generation.run)
        done.add_done_callback(lambda _: self._running.discard(generation))
        try:
            async for delta in generation.deltas():
                yield delta
        except AppError:
            raise
        except Exception as error:
            log.error("llamacpp_failed", error=type(error).__name__)
            if request.form is not None and isinstance(error, ValueError):
                # What it makes a grammar of is checked before anything is said.
                raise InvalidInput("The language model cannot be held to this JSON Schema.") from error
            raise EngineFailed from error
        finally:
            generation.cancelled = True

    async def healthy(self) -> bool:
        return self._server is not None

    async def reachable(self) -> bool:
        return True

    async def close(self) -> None:
        server, self._server = self._server, None
        threads, self._threads = self._threads, None
        for generation in self._running:
            generation.cancelled = True
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
        del server  # the destructor stops its main loop

    def _body(self, request: GenerationRequest) -> dict[str, Any]:
        messages = [
            {"role": message.role, "content": break_tokens(message.content, self._control_tokens)}
            for message in request.messages
        ]
        form = {} if request.form is None else {"response_format": request.form.response_format}
        return form | {
            "messages": messages,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "stop": list(request.stop),
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_prompt": True,
        }


class _Generation:
    """One call into the library on its own thread, and what it has said so far."""

    def __init__(self, server: Any, body: dict[str, Any]) -> None:
        self.cancelled = False
        self._failure: Exception | None = None
        self._server = server
        self._body = body
        self._loop = asyncio.get_running_loop()
        self._said: deque[dict[str, Any] | None] = deque()
        self._awake = asyncio.Event()
        self._waking = False

    def run(self) -> None:
        """On the thread: ends when the answer ends, or at the first chunk after `cancelled` is set."""
        try:
            if not self.cancelled:
                self._server.handle_chat_completions(self._body, self._hear)
        except Exception as error:  # noqa: BLE001 - whatever it is, the reader raises it
            self._failure = error
        finally:
            self._say(None)

    def _hear(self, chunk: dict[str, Any]) -> bool:
        """Called for every chunk; True ends the generation in the library and frees its slot."""
        self._say(chunk)
        return self.cancelled

    def _say(self, chunk: dict[str, Any] | None) -> None:
        self._said.append(chunk)
        if not self._waking and not self._loop.is_closed():
            self._waking = True
            self._loop.call_soon_threadsafe(self._awake.set)

    async def deltas(self) -> AsyncGenerator[Delta, None]:
        """All chunks that wait go out as one delta."""
        answer = _Answer()
        while True:
            await self._awake.wait()
            self._awake.clear()
            self._waking = False
            while self._said:
                chunk = self._said.popleft()
                if chunk is None:
                    if self._failure is not None:
                        raise self._failure
                    yield answer.last()
                    return
                answer.read(chunk)
            if answer.text:
                yield answer.take()


class _Answer:
    """What the chunks of one answer add up to."""

    def __init__(self) -> None:
        self.text = ""
        self._tokens = 0
        self._sent = 0
        self._finish: FinishReason | None = None
        self._usage: Usage | None = None

    def read(self, chunk: dict[str, Any]) -> None:
        """Raises InvalidInput or EngineFailed for an error of the library."""
        if error := chunk.get("error"):
            log.warning("llamacpp_refused", kind=error.get("type"), status=error.get("code"))
            if error.get("type") == "exceed_context_size_error":
                raise InvalidInput("The conversation is too long for this model.")
            raise InvalidInput if error.get("code") == 400 else EngineFailed
        for choice in chunk.get("choices", ()):
            if text := choice["delta"].get("content"):
                self.text += text
                self._tokens += 1
            if reason := choice.get("finish_reason"):
                self._finish = FinishReason.LENGTH if reason == "length" else FinishReason.STOP
        if usage := chunk.get("usage"):
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
            self._usage = Usage(usage["prompt_tokens"], usage["completion_tokens"], cached)

    def take(self) -> Delta:
        delta = Delta(self.text, self._tokens)
        self._sent += self._tokens
        self.text, self._tokens = "", 0
        return delta

    def last(self) -> Delta:
        if self._finish is None or self._usage is None:
            raise EngineFailed
        left = max(0, self._usage.completion_tokens - self._sent)
        return Delta(self.text, left, self._finish, self._usage)
