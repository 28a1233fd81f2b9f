"""Under which names the replicas of engines announce themselves in the registry."""

SERVICE = "engine"
"""Those that answer."""
STARTING = "engine-starting"
"""Those that load their model."""
