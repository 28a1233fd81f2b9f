"""What providers' engines learn from answers: limits, whether the provider is there, and usage that is missing."""

import pytest
from pydantic import SecretStr

from configs.settings import Settings
from configs.tables import FREE, EngineSpec, ModelSpec, ModelTable
from deployments.llm.catalog import build_engine, usable_engines
from deployments.llm.engines import provider as provider_module
from deployments.llm.provider_limits import ProviderLimits
from domain.errors import RateLimited
from domain.generation import FinishReason, Usage
from tests.fixtures.provider import ProviderDouble, Reply, anthropic_events, openai_chunk, openai_events
from tests.fixtures.provider_engines import ANSWERS, KEY, OPENAI_ANSWER, START, MakeEngine, failure, piece, read

USED_UP = {
    "openai": {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m0s"},
    "anthropic": {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-11-28T12:01:00Z",
        "date": "Sat, 28 Nov 2026 12:00:00 GMT",
    },
}


async def test_a_limit_that_an_answer_uses_up_is_learned_from_its_headers(
    kind: str, make_engine: MakeEngine, provider: ProviderDouble
) -> None:
    limits = ProviderLimits()
    provider.replies = [Reply(ANSWERS[kind], headers=USED_UP[kind])]
    assert (await read(await make_engine(limits=limits)))[-1].finish is FinishReason.STOP
    assert 55 < limits.remaining()["m"] <= 60


@pytest.mark.parametrize(
    ("headers", "low", "high"), [({"retry-after-ms": "4500"}, 4.0, 4.5), ({}, 0.5, 1.0)], ids=["hint", "no hint"]
)
async def test_a_refusal_as_too_many_is_learned_with_and_without_a_hint(
    make_engine: MakeEngine, provider: ProviderDouble, headers: dict[str, str], low: float, high: float
) -> None:
    limits = ProviderLimits()
    engine = await make_engine(limits=limits)
    provider.replies = [Reply(b"{}", 429, headers)]
    assert type(await failure(engine)) is RateLimited
    assert low < limits.remaining()["m"] <= high
    assert await engine.reachable(), "it answers, only not now"


async def test_a_provider_that_is_down_is_probed_until_it_answers(
    kind: str, make_engine: MakeEngine, provider: ProviderDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "PROBE_SECONDS", 0.0)
    engine = await make_engine()
    assert await engine.reachable()
    assert not provider.seen, "nothing is asked of one that has not failed"
    provider.replies = [Reply(b"oops", 503)]
    await failure(engine)
    assert not await engine.reachable()
    provider.replies = [Reply(b'{"data": [], "has_more": false}', headers={"content-type": "application/json"})]
    assert await engine.reachable()
    assert provider.seen[-1].path.startswith("/v1/models")
    asked = len(provider.seen)
    assert await engine.reachable()
    assert len(provider.seen) == asked


async def test_a_key_that_is_refused_is_no_reason_to_think_it_down(
    make_engine: MakeEngine, provider: ProviderDouble
) -> None:
    engine = await make_engine()
    provider.replies = [Reply(b"{}", 401)]
    await failure(engine)
    assert await engine.reachable()


async def test_an_answer_without_usage_is_estimated(
    kind: str, make_engine: MakeEngine, provider: ProviderDouble
) -> None:
    without = {**START, "message": {**START["message"], "usage": None}}  # type: ignore[dict-item]
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": None}
    provider.replies = [
        Reply(
            openai_events(openai_chunk("Hello"), openai_chunk(finish="stop"), "[DONE]")
            if kind == "openai"
            else anthropic_events(without, piece("Hello"), stop, {"type": "message_stop"})
        )
    ]
    deltas = await read(await make_engine())
    usage = deltas[-1].usage
    assert usage is not None
    assert usage.prompt_tokens >= 5
    assert usage.completion_tokens == 2 == sum(delta.tokens for delta in deltas)


async def test_azure_is_asked_by_its_own_protocol(provider: ProviderDouble) -> None:
    spec = EngineSpec(kind="azure", options={"base_url": provider.url, "api_version": "2024-10-21"})
    model = ModelSpec(
        engines=("cloud",), provider_model="my-deployment", context_tokens=1000, price_micro_per_token=FREE
    )
    table = ModelTable(engines={"cloud": spec}, models={"m": model})
    settings = Settings(_env_file=None, profile="test", azure_openai_api_key=SecretStr(KEY))
    assert usable_engines(settings, table) == ["cloud"]
    engine = build_engine(settings, table, "cloud")
    await engine.open()
    provider.replies = [Reply(OPENAI_ANSWER)]
    assert (await read(engine))[-1].usage == Usage(11, 5, 8)
    [seen] = provider.seen
    assert seen.path == "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    assert seen.headers["api-key"] == KEY
    assert seen.body["max_completion_tokens"] == 64
    await engine.close()
