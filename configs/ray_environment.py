"""Environment flags that Ray reads once, when its first process starts: set them before, the same on every node."""

import os
from collections.abc import Mapping


def ray_environment(max_connections: int = 7_800) -> dict[str, str]:
    """Serve behind HAProxy in throughput mode; why, is measured in docs/decisions.

    `max_connections` bounds the sockets of one HAProxy, which needs 2.5 file descriptors for each and 36 more.
    `RAY_AUTH_MODE` is not among them: it belongs to whoever starts the cluster.
    """
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # A reload of HAProxy leaves the old process to its sockets for a day instead of two minutes.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "86400",
        "RAY_SERVE_PORT_QUARANTINE_S": "60",
        # A dead HAProxy is replaced after five seconds instead of thirty.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2",
        "RAY_SERVE_HAPROXY_MAXCONN": str(max_connections),
        # The template of HAProxy's configuration has no place for this line, so it rides on one that it has: HAProxy
        # adds the address of whoever called it as the last one in X-Forwarded-For (deployments/gateway/client_address).
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure\n    option forwardfor",
        # uvicorn would believe the first header it finds, and hide the peer: the gateway reads it itself.
        "FORWARDED_ALLOW_IPS": "",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Many small actors start at once on purpose; Ray would warn about it on the terminal.
        "RAY_worker_maximum_startup_concurrency": "8",
        # Ray would run its workers at niceness 15, behind everything else on the machine; ours serve people.
        "RAY_worker_niceness": "0",
        # Ingestion comes in runs: a process that waits minutes for the next one costs memory for so long, a new one
        # seconds of the processor beside conversations.
        "RAY_idle_worker_killing_time_threshold_ms": "180000",
    }


def with_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `extra` on top, for a child process."""
    return {**os.environ, **extra}


def adopt(extra: Mapping[str, str]) -> None:
    """Set `extra` in this process, before Ray is imported: Ray reads its flags at import."""
    os.environ.update(extra)
