"""How many replicas an engine needs, by the generations that run and wait in them: Serve's own count sees none.

Tokens do not pass through Serve, so that each replica records its load itself (`LlmEngine.record_autoscaling_stats`).
Ray copies this module by value into its controller, so it imports nothing of ours.
"""

from math import ceil
from typing import Any


def replicas_for_generations(context: Any) -> tuple[int, dict[str, Any]]:
    """A policy of `serve.AutoscalingPolicy` for its `AutoscalingContext`: replicas that bring the generations of each
    to `target_ongoing_requests`, and one more than there are while any wait.

    Serve applies bounds and delays afterwards. What no replica has reported yet leaves the number as it is.
    """
    metrics = context.aggregated_metrics or {}
    running, queued = metrics.get("running") or {}, metrics.get("queued") or {}
    if not running:
        return context.target_num_replicas, {}
    waiting = sum(queued.values())
    wanted = ceil((sum(running.values()) + waiting) / context.config.target_ongoing_requests)
    if waiting >= 1:
        wanted = max(wanted, len(running) + 1)
    if len(running) < context.target_num_replicas:
        # Some are still loading the model: they will take what waits.
        wanted = max(wanted, min(context.target_num_replicas, len(running) + 1))
    return max(wanted, 1), {}
