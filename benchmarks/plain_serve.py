"""`loquent up` on Ray Serve as it comes: its own proxy in the place of HAProxy, and no throughput mode."""

from cluster import ray_head
from cluster.command import app
from configs.ray_environment import ray_environment


def plain_environment(max_connections: int = 7_800) -> dict[str, str]:
    """All our flags but those two."""
    return {
        **ray_environment(max_connections),
        "RAY_SERVE_ENABLE_HA_PROXY": "0",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0",
    }


if __name__ == "__main__":
    # The head takes its flags from here, and every other process of the installation inherits them from the head.
    vars(ray_head)["ray_environment"] = plain_environment
    app()
