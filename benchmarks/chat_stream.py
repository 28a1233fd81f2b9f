"""Streaming through the whole stack against a raw uvicorn relay of the same engine, interleaved in one run."""

import asyncio
from statistics import median, quantiles
from typing import Any

from benchmarks.chat_load import Answer, ask_all, open_sockets, tokens_per_second
from benchmarks.installation import RATE, Bench, cpu_seconds, raw_relay, scripted_installation

ROUNDS = 5
STREAMS = 8
"""As many as the free plan lets a tenant run at once."""


async def measure(bench: Bench) -> dict[str, Any]:
    """Tokens per second in bursts; time to first token and lateness of paced streams."""
    figures: dict[str, Any] = {"streams": STREAMS, "rounds": ROUNDS}
    with raw_relay("burst", bench.models_file) as raw_burst, raw_relay("paced", bench.models_file) as raw_paced:
        ours = await open_sockets(bench.session_urls("burst", STREAMS), bench.token)
        raw = await open_sockets([raw_burst] * STREAMS, None)
        await ask_all(ours)
        await ask_all(raw)
        fast: dict[str, list[float]] = {"ours": [], "raw": []}
        pid = bench.platform.state()["pid"]
        spent = cpu_seconds(pid)
        tokens = 0
        for _ in range(ROUNDS):
            fast["raw"].append(tokens_per_second(await ask_all(raw)))
            answers = await ask_all(ours)
            tokens += sum(len(answer.tokens) for answer in answers)
            fast["ours"].append(tokens_per_second(answers))
        figures["cpu_us_per_token"] = round((cpu_seconds(pid) - spent) / tokens * 1e6)
        figures["tokens_per_second"] = {name: round(median(values)) for name, values in fast.items()}
        figures["tokens_ratio"] = round(median(fast["ours"]) / median(fast["raw"]), 2)

        ours = await open_sockets(bench.session_urls("paced", STREAMS), bench.token)
        raw = await open_sockets([raw_paced] * STREAMS, None)
        await ask_all(ours)
        paced: dict[str, list[Answer]] = {"ours": [], "raw": []}
        for _ in range(ROUNDS):
            paced["raw"] += await ask_all(raw)
            paced["ours"] += await ask_all(ours)
    for name, answers in paced.items():
        figures[f"first_token_ms_{name}"] = round(1000 * median(answer.first_token for answer in answers), 1)
        late = [late for answer in answers for late in answer.lateness(RATE)]
        figures[f"lateness_ms_{name}"] = {
            "p50": round(1000 * median(late), 2),
            "p95": round(1000 * quantiles(late, n=20)[-1], 2),
        }
    figures["added_first_token_ms"] = round(figures["first_token_ms_ours"] - figures["first_token_ms_raw"], 1)
    return figures


def run() -> dict[str, Any]:
    with scripted_installation() as bench:
        return asyncio.run(measure(bench))


if __name__ == "__main__":
    print(run())
