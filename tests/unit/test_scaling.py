"""Replicas of an engine by what runs and waits in them."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from ray.serve.config import AutoscalingConfig

from configs.sizing import Autoscaling, load_sizing
from deployments.llm.scaling import replicas_for_generations


@dataclass
class Context:
    """What the policy reads of Serve's own."""

    running: dict[str, float]
    queued: dict[str, float] = field(default_factory=dict)
    target_num_replicas: int = 1
    config: Any = field(default_factory=lambda: Autoscaling(min_replicas=1, max_replicas=9, target_ongoing_requests=8))

    @property
    def aggregated_metrics(self) -> dict[str, dict[str, float]]:
        return {"running": self.running, "queued": self.queued}


@pytest.mark.parametrize(
    ("context", "wanted"),
    [
        (Context({"a": 0}), 1),
        (Context({"a": 8}), 1),
        (Context({"a": 9}), 2),
        (Context({"a": 8, "b": 8}, {"a": 24, "b": 0}, 2), 5),
        (Context({"a": 4}, {"a": 1}), 2),
        (Context({"a": 0, "b": 0, "c": 1}, target_num_replicas=3), 1),
        (Context({"a": 4}, target_num_replicas=3), 2),
        (Context({}, target_num_replicas=3), 3),
    ],
    ids=["idle", "full", "one too many", "a queue", "few, but they wait", "too many", "others load", "no reports"],
)
def test_as_many_as_the_generations_need(context: Context, wanted: int) -> None:
    assert replicas_for_generations(context)[0] == wanted


def test_serve_finds_the_policy_and_can_ship_it() -> None:
    sizing = load_sizing("kubernetes").engine.autoscaling
    assert sizing is not None
    config = AutoscalingConfig(**sizing.options())
    assert config.policy.get_policy()(Context({"a": 99.0}))[0] == 13
    router = load_sizing("kubernetes").router.autoscaling
    assert router is not None
    assert "policy" not in router.options()
