"""A running installation with scripted engines, and the raw relay beside it, for measurements."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import yaml

from cluster.embedded.process import free_port, port_is_free
from tests.fixtures.platform import ROOT, Platform

BURST_TOKENS, PACED_TOKENS = 1000, 150
RATE = 50.0


@dataclass(frozen=True)
class Bench:
    platform: Platform
    token: str
    models_file: Path

    def session_urls(self, model: str, count: int) -> list[str]:
        """WebSocket URLs of `count` sessions of a bot that talks to `model` without documents."""
        with httpx.Client(base_url=self.platform.url, headers={"Authorization": f"Bearer {self.token}"}) as client:
            config = {"model": model, "max_tokens": 4096, "retrieval": {"grounding": "open"}}
            bot = _json(client.post("/chatbots", json={"name": f"bench {model}", "config": config}))["id"]
            sessions = [_json(client.post(f"/chatbots/{bot}/sessions"))["id"] for _ in range(count)]
        base = self.platform.url.replace("http", "ws")
        return [f"{base}/chatbots/{bot}/sessions/{session}/ws" for session in sessions]


def write_models(folder: Path) -> Path:
    """A models.yaml with a burst engine (as fast as it can, a token a frame) and a paced one."""
    engines = {
        "burst": {"kind": "scripted", "options": {"reply": "word ", "tokens": BURST_TOKENS, "batch": 1}},
        "paced": {"kind": "scripted", "options": {"reply": "word ", "tokens": PACED_TOKENS, "tokens_per_second": RATE}},
    }
    models = {name: {"engines": [name], "context_tokens": 8192} for name in engines}
    file = folder / "models.yaml"
    file.write_text(yaml.safe_dump({"engines": engines, "models": models}), "utf-8")
    return file


@contextmanager
def scripted_installation() -> Iterator[Bench]:
    """The whole platform with scripted engines; everything else is as a user has it."""
    with tempfile.TemporaryDirectory(prefix="loquent-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "models").symlink_to(ROOT / ".loquent" / "models")
        models_file = write_models(folder)
        settings = {
            "LOQUENT_MODELS_FILE": str(models_file),
            "LOQUENT_DEFAULT_MODEL": "burst",
            "LOQUENT_LOCAL_ENGINE": "none",
        }
        platform = Platform(folder, settings)
        try:
            platform.start()
            yield Bench(platform, _register(platform.url), models_file)
        finally:
            platform.stop()


@contextmanager
def raw_relay(engine: str, models_file: Path) -> Iterator[str]:
    """The URL of a raw uvicorn relay of the scripted engine of that name."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.raw_relay", engine, str(models_file), str(port)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while port_is_free(port):
            assert time.monotonic() < deadline, "the relay did not start"
            time.sleep(0.05)
        yield f"ws://127.0.0.1:{port}/ws"
    finally:
        process.terminate()
        process.wait(10)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its descendants that live."""
    total = 0.0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def _register(url: str) -> str:
    body = {"email": "bench@example.com", "password": "a long password", "company": "Bench"}
    return str(_json(httpx.post(f"{url}/auth/register", json=body))["access_token"])


def _json(answer: httpx.Response) -> dict[str, str]:
    answer.raise_for_status()
    body: dict[str, str] = answer.json()
    return body
