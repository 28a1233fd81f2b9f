"""Spans on their way to a collector: over OTLP, in protobuf; one that is away delays no end of a process."""

import asyncio
import gzip
from uuid import UUID

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from actors.spans import TurnSpans
from configs.settings import Settings
from domain.ids import SessionId
from domain.metering import Tally
from domain.trace import TurnTrace
from tests.fixtures.twins import turn_input


def export_one(spans: TurnSpans) -> str:
    turn, trace = turn_input("what about the otter?"), TurnTrace()
    with trace.stage("retrieve"):
        pass
    spans.export(turn, SessionId(UUID(int=5)), "completed", "model", trace, Tally())
    return str(turn.turn_id)


async def test_a_collector_gets_turns_with_their_stages() -> None:
    seen: list[tuple[str, bytes]] = []

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        seen.append((head.split()[1], gzip.decompress(body) if "content-encoding: gzip" in head else body))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(collect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    spans = TurnSpans.open(Settings(_env_file=None, otlp_endpoint=f"http://127.0.0.1:{port}"))
    assert spans is not None
    turn_id = export_one(spans)
    await spans.close()
    server.close()
    [(path, body)] = seen
    assert path == "/v1/traces"
    [of_resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    [of_scope] = of_resource.scope_spans
    assert [span.name for span in of_scope.spans] == ["retrieve", "turn"]
    attributes = {one.key: one.value.string_value for one in of_scope.spans[1].attributes}
    assert attributes["loquent.turn_id"] == turn_id
    assert b"otter" not in body


async def test_a_collector_that_is_away_delays_no_end() -> None:
    spans = TurnSpans.open(Settings(_env_file=None, otlp_endpoint="http://127.0.0.1:9"))
    assert spans is not None
    export_one(spans)
    async with asyncio.timeout(20):
        await spans.close()
