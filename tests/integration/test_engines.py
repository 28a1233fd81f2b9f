"""The engines of providers, through the official SDKs, against servers that answer well, badly, or not at all."""

import asyncio
from dataclasses import replace

import pytest

from deployments.llm.engines.protocol import Engine
from domain.answer_form import form_of
from domain.errors import AppError, EngineFailed, InvalidInput, RateLimited, Unavailable
from domain.generation import Delta, FinishReason, Usage
from tests.fixtures.conditions import eventually
from tests.fixtures.provider import ProviderDouble, Reply, anthropic_events, openai_chunk, openai_events
from tests.fixtures.provider_engines import (
    ANSWERS,
    GARBAGE,
    HALVES,
    KEY,
    REQUEST,
    START,
    MakeEngine,
    failure,
    piece,
    read,
    stopped,
)


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


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


async def test_a_form_is_asked_for_in_the_providers_own_words(
    kind: str, make_engine: MakeEngine, provider: ProviderDouble
) -> None:
    provider.replies = [Reply(ANSWERS[kind])]
    await read(await make_engine(), replace(REQUEST, form=form_of(SCHEMA, "thing", strict=True)))
    body = provider.seen[0].body
    if kind == "openai":
        described = {"name": "thing", "schema": SCHEMA, "strict": True}
        assert body["response_format"] == {"type": "json_schema", "json_schema": described}
    else:
        assert body["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}


async def test_a_form_that_a_server_does_not_know_is_refused_before_it_is_asked(
    kind: str, make_engine: MakeEngine, provider: ProviderDouble
) -> None:
    plain = await make_engine(structured_output=False)
    with pytest.raises(InvalidInput, match="JSON"):
        await read(plain, replace(REQUEST, form=form_of(SCHEMA)))
    if kind == "anthropic":
        with pytest.raises(InvalidInput, match="JSON Schema"):
            await read(await make_engine(), replace(REQUEST, form=form_of()))
    assert provider.seen == []


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
    assert len(provider.seen) == 1, "further attempts are the turn's"


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
