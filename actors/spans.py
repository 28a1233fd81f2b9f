"""Ended turns as OpenTelemetry spans, exported over OTLP where a collector is configured: ids and numbers, no words."""

import asyncio
from typing import TYPE_CHECKING, Self

from configs.settings import Settings
from domain.ids import SessionId
from domain.metering import Tally
from domain.trace import TurnTrace
from domain.turn import TurnInput

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

EXPORT_SECONDS = 2.0
"""What one batch may take, tried again within it."""
_NANOS = 1_000_000_000


class TurnSpans:
    """A span per turn with one for each of its stages; sent in batches by a thread of the SDK's own."""

    def __init__(self, exporter: "SpanExporter") -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider: TracerProvider = TracerProvider(
            resource=Resource.create({"service.name": "loquent", "service.namespace": "session-host"}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("loquent.turns")

    @classmethod
    def open(cls, settings: Settings) -> Self | None:
        """None without a collector: then nothing of OpenTelemetry is loaded."""
        if settings.otlp_endpoint is None:
            return None
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return cls(OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint}/v1/traces", timeout=EXPORT_SECONDS))

    def export(
        self, turn: TurnInput, session_id: SessionId, state: str, model: str, trace: TurnTrace, tally: Tally
    ) -> None:
        """Of a turn that has just ended, by what it noted."""
        from opentelemetry.context import Context
        from opentelemetry.trace import set_span_in_context

        usage, begins = tally.usage, int(trace.began_at * _NANOS)
        root = self._tracer.start_span(
            "turn",
            context=Context(),
            start_time=begins,
            attributes={
                "loquent.tenant_id": str(turn.tenant_id),
                "loquent.chatbot_id": str(turn.chatbot_id),
                "loquent.session_id": str(session_id),
                "loquent.turn_id": str(turn.turn_id),
                "loquent.state": state,
                "loquent.cost_micro": tally.cost_micro,
                "loquent.calls": len(tally.calls),
                "gen_ai.operation.name": "chat",
                "gen_ai.response.model": model,
                "gen_ai.usage.input_tokens": usage.prompt_tokens,
                "gen_ai.usage.output_tokens": usage.completion_tokens,
            },
        )
        within = set_span_in_context(root, Context())
        for stage in trace.stages:
            start = begins + int(stage.start * _NANOS)
            span = self._tracer.start_span(stage.name, context=within, start_time=start)
            span.end(start + int(stage.seconds * _NANOS))
        root.end(begins + int(trace.age * _NANOS))

    async def close(self) -> None:
        """Send what waits; what a collector does not take in EXPORT_SECONDS is dropped."""
        await asyncio.to_thread(self._provider.shutdown)
