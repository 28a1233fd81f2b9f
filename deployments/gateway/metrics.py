"""Prometheus metrics of one gateway replica, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class GatewayMetrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "loquent_http_requests", "HTTP requests.", ("method", "route", "status"), registry=self.registry
        )
        self.latency = Histogram(
            "loquent_http_request_seconds",
            "Time to the end of the response, in seconds.",
            ("method", "route"),
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
        )
        self.sockets = Gauge("loquent_sockets_open", "Open chat sockets.", registry=self.registry)
        self.socket_closes = Counter(
            "loquent_socket_closes", "Sockets that the gateway closed.", ("code",), registry=self.registry
        )
        self.turns = Counter("loquent_turns", "Turns seen to their end by a client.", ("end",), registry=self.registry)
        self.frames = Counter("loquent_frames", "Chat frames.", ("direction",), registry=self.registry)
        self.frames_in = self.frames.labels("in")
        self.frames_out = self.frames.labels("out")

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests.labels(method, route, str(status)).inc()
        self.latency.labels(method, route).observe(seconds)

    def render(self) -> bytes:
        return generate_latest(self.registry)
