"""The engines of providers, through the official SDKs, against servers that answer well, badly, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from configs.settings import Settings
from configs.tables import EngineSpec, ModelSpec, ModelTable
from deployments.llm.catalog import build_engine
from deployments.llm.engines.protocol import Engine
from domain.errors import AppError, EngineFailed, InvalidInput, RateLimited, Unavailable
from domain.generation import Delta, FinishReason, GenerationRequest, PromptMessage, Usage
from tests.fixtures.conditions import eventually
from tests.fixtures.provider import ProviderDouble, Reply, anthropic_events, openai_chunk, openai_events

KEY = "sk-the-secret-key"
REQUEST = GenerationRequest(
    id="t-1",
    model="m",
    messages=(PromptMessage("system", "Be brief."), PromptMessage("user", "Hi"), PromptMessage("assistant", "Yes?")),
    max_tokens=64,
    temperature=1.5,
    stop=("END",),
)
OPENAI_ANSWER = openai_events(
    openai_chunk("Hel"),
    openai_chunk("lo ✓"),
    openai_chunk(finish="stop"),
    openai_chunk(
        usage={
            "prompt_tokens": 11,
            "completion_tokens": 5,
            "total_tokens": 16,
            "prompt_tokens_details": {"cached_tokens": 8},
        }
    ),
    "[DONE]",
)
START = {
    "type": "message_start",
    "message": {
        "id": "x",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "m",
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_read_input_tokens": 6,
            "cache_creation_input_tokens": 2,
            "output_tokens": 1,
        },
    },
}


def piece(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def stopped(reason: str, tokens: int) -> dict[str, Any]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens}}


ANTHROPIC_ANSWER = anthropic_events(
    START,
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    piece("Hel"),
    piece("lo ✓"),
    {"type": "an_event_of_the_future"},
    {"type": "content_block_stop", "index": 0},
    stopped("end_turn", 5),
    {"type": "message_stop"},
)
ANSWERS = {"openai": OPENAI_ANSWER, "anthropic": ANTHROPIC_ANSWER}
HALVES = {
    "openai": openai_events(openai_chunk("Hel")),
    "anthropic": anthropic_events(START, piece("Hel")),
}
GARBAGE = {
    "openai": openai_events(openai_chunk("Hel"), "{not json"),
    "anthropic": anthropic_events(START, piece("Hel"), "event: content_block_delta\ndata: {not json\n\n"),
}
MakeEngine = Callable[..., Awaitable[Engine]]


@pytest.fixture(params=["openai", "anthropic"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def make_engine(kind: str, provider: ProviderDouble) -> AsyncIterator[MakeEngine]:
    engines: list[Engine] = []

    async def make(**options: Any) -> Engine:
        base = provider.url + ("/v1" if kind == "openai" else "")
        spec = EngineSpec(kind=kind, options={"base_url": base, "read_timeout_seconds": 5.0} | options)
        model = ModelSpec(engines=("cloud",), provider_model="provider-m", sends_temperature=True, context_tokens=1000)
        table = ModelTable(engines={"cloud": spec}, models={"m": model})
        settings = Settings(
            _env_file=None, openai_api_key=SecretStr(KEY), anthropic_api_key=SecretStr(KEY), profile="test"
        )
        engine = build_engine(settings, table, "cloud")
        await engine.open()
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        await engine.close()


async def read(engine: Engine) -> list[Delta]:
    return [delta async for delta in engine.generate(REQUEST)]


async def failure(engine: Engine) -> AppError:
    with pytest.raises(AppError) as caught:
        await read(engine)
    assert KEY not in caught.value.message
    assert "hunter2" not in caught.value.message
    return caught.value


async def test_an_answer_streams_with_its_exact_usage(
    kind: str, make_engine: MakeEngine, provider: ProviderDouble
) -> None:
    provider.replies = [Reply(ANSWERS[kind])]
    deltas = await read(await make_engine())
    assert [delta.text for delta in deltas if delta.text] == ["Hel", "lo ✓"]
    assert deltas[-1].usage == Usage(11, 5, 8 if kind == "openai" else 6)
    assert deltas[-1].finish is FinishReason.STOP
    assert [delta.finish for delta in deltas[:-1]] == [None, None]
    assert sum(delta.tokens for delta in deltas) == 5


async def test_the_request_says_what_was_asked(kind: str, make_engine: MakeEngine, provider: ProviderDouble) -> None:
    provider.replies = [Reply(ANSWERS[kind])]
    await read(await make_engine())
    [seen] = provider.seen
    assert seen.body["model"] == "provider-m"
    assert seen.body["stream"] is True
    assert seen.body["max_tokens"] == 64
    if kind == "openai":
        assert seen.path == "/v1/chat/completions"
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert [message["role"] for message in seen.body["messages"]] == ["system", "user", "assistant"]
        assert (seen.body["temperature"], seen.body["stop"]) == (1.5, ["END"])
        assert seen.body["stream_options"] == {"include_usage": True}
    else:
        assert seen.path == "/v1/messages"
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.body["system"] == "Be brief."
        assert [message["role"] for message in seen.body["messages"]] == ["user", "assistant"]
        assert (seen.body["temperature"], seen.body["stop_sequences"]) == (1.0, ["END"])


async def test_an_answer_that_met_its_limit_says_so(
    kind: str, make_engine: MakeEngine, provider: ProviderDouble
) -> None:
    body = (
        openai_events(openai_chunk("x", finish="length"), "[DONE]")
        if kind == "openai"
        else anthropic_events(START, piece("x"), stopped("max_tokens", 1), {"type": "message_stop"})
    )
    provider.replies = [Reply(body)]
    assert (await read(await make_engine()))[-1].finish is FinishReason.LENGTH


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InvalidInput),
        (401, Unavailable),
        (403, Unavailable),
        (404, Unavailable),
        (429, RateLimited),
        (500, Unavailable),
        (529, Unavailable),
    ],
)
async def test_refusals_become_our_own_errors(
    make_engine: MakeEngine, provider: ProviderDouble, status: int, expected: type[AppError]
) -> None:
    body = b'{"error": {"type": "weird", "message": "the password is hunter2"}}'
    provider.replies = [Reply(body, status, {"retry-after": "7"})]
    error = await failure(await make_engine())
    assert type(error) is expected
    assert error.retry_after == (7.0 if status == 429 else None)
    assert len(provider.seen) == (2 if status >= 500 else 1)


async def test_a_passing_fault_is_tried_once_more(kind: str, make_engine: MakeEngine, provider: ProviderDouble) -> None:
    provider.replies = [Reply(b"oops", 503), Reply(ANSWERS[kind])]
    assert (await read(await make_engine()))[-1].finish is FinishReason.STOP


@pytest.mark.parametrize("ending", ["whole", "cut"])
async def test_half_an_answer_is_a_failure_after_its_text(
    kind: str, make_engine: MakeEngine, provider: ProviderDouble, ending: str
) -> None:
    provider.replies = [Reply(HALVES[kind], ending=ending)]
    deltas = (await make_engine()).generate(REQUEST)
    assert (await anext(deltas)).text == "Hel"
    with pytest.raises(EngineFailed):
        await anext(deltas)


async def test_garbage_in_the_stream_is_a_failure(kind: str, make_engine: MakeEngine, provider: ProviderDouble) -> None:
    provider.replies = [Reply(GARBAGE[kind])]
    assert type(await failure(await make_engine())) is EngineFailed


async def test_an_answer_that_is_no_stream_is_a_failure(make_engine: MakeEngine, provider: ProviderDouble) -> None:
    provider.replies = [Reply(b"<html>the password is hunter2</html>", headers={"content-type": "text/html"})]
    assert type(await failure(await make_engine())) is EngineFailed


@pytest.mark.parametrize(
    ("event", "expected"), [("overloaded_error", Unavailable), ("rate_limit_error", RateLimited)], ids=str
)
async def test_an_error_event_inside_the_stream(
    kind: str, make_engine: MakeEngine, provider: ProviderDouble, event: str, expected: type[AppError]
) -> None:
    error = {"type": "error", "error": {"type": event, "message": "the password is hunter2"}}
    provider.replies = [Reply(HALVES[kind] + (openai_events(error) if kind == "openai" else anthropic_events(error)))]
    assert type(await failure(await make_engine())) is expected


async def test_a_silent_provider_is_given_up(kind: str, make_engine: MakeEngine, provider: ProviderDouble) -> None:
    provider.replies = [Reply(HALVES[kind], ending="hang")]
    error = await failure(await make_engine(read_timeout_seconds=0.2))
    assert type(error) in (Unavailable, EngineFailed)
    await eventually(lambda: provider.hung_up == 1)


async def test_a_provider_that_is_not_there(make_engine: MakeEngine, provider: ProviderDouble) -> None:
    engine = await make_engine(base_url="http://127.0.0.1:1")
    assert type(await failure(engine)) is Unavailable


async def test_closing_the_stream_hangs_up(kind: str, make_engine: MakeEngine, provider: ProviderDouble) -> None:
    provider.replies = [Reply(HALVES[kind], ending="hang")]
    deltas = (await make_engine()).generate(REQUEST)
    assert (await anext(deltas)).text == "Hel"
    await deltas.aclose()
    await eventually(lambda: provider.hung_up == 1)


async def test_cancelling_the_reader_hangs_up(kind: str, make_engine: MakeEngine, provider: ProviderDouble) -> None:
    provider.replies = [Reply(HALVES[kind], ending="hang")]
    heard: list[Delta] = []

    async def listen(engine: Engine) -> None:
        async for delta in engine.generate(REQUEST):
            heard.append(delta)

    reader = asyncio.create_task(listen(await make_engine()))
    await eventually(lambda: heard)
    reader.cancel()
    await asyncio.wait([reader])
    assert reader.cancelled()
    await eventually(lambda: provider.hung_up == 1)


async def test_a_server_of_ones_own_gets_no_key(kind: str, make_engine: MakeEngine, provider: ProviderDouble) -> None:
    if kind == "openai":
        provider.replies = [Reply(ANSWERS[kind])]
        await read(await make_engine(keyless=True))
        assert KEY not in str(provider.seen[0].headers)


async def test_a_closed_engine_says_so(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    assert await engine.healthy()
    await engine.close()
    await engine.close()
    assert not await engine.healthy()
    assert type(await failure(engine)) is Unavailable
