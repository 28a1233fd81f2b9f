"""Where this process can be reached by the others."""

from ray.util import get_node_ip_address

from configs.settings import Settings


def stream_host(settings: Settings) -> str:
    """The address to listen on and to announce: this machine only, unless the platform spans several."""
    if settings.profile != "kubernetes":
        return "127.0.0.1"
    return str(get_node_ip_address())  # type: ignore[no-untyped-call]
