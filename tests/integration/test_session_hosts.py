"""The gateway's way to session hosts, over real streams and a real registry, also when a host is replaced."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from actors.streams import StreamPool, StreamServer
from deployments.gateway import session_hosts
from deployments.gateway.session_hosts import SERVICE, SessionHosts, slot_of
from domain.errors import NotFound, Unavailable
from domain.ids import SessionId, TenantId, TurnId, new_uuid
from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry

SECRET = "streams"
SLOTS = 2
TENANT, SESSION, TURN = TenantId(uuid4()), SessionId(uuid4()), TurnId(new_uuid())
Method = Callable[[Any], AsyncGenerator[Any, None]]


def event(kind: str, seq: int) -> dict[str, Any]:
    return {"k": kind, "turn": str(TURN), "seq": seq}


class Host:
    """A session host that can be killed and replaced."""

    def __init__(self, registry: EndpointRegistry) -> None:
        self._registry = registry
        self._server: StreamServer | None = None
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def start(self, **methods: Method) -> None:
        def recorded(name: str, method: Method) -> Method:
            async def call(payload: Any) -> AsyncGenerator[Any, None]:
                self.calls.append((name, payload))
                async for item in method(payload):
                    yield item

            return call

        self._server = await StreamServer.open(
            {name: recorded(name, method) for name, method in methods.items()}, secret=SECRET, host="127.0.0.1"
        )
        slot = str(slot_of(TENANT, SLOTS))
        await self._registry.announce(Endpoint(SERVICE, slot, f"127.0.0.1:{self._server.port}"), ttl_seconds=60)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.close()


@pytest.fixture
async def registry(redis_url: str) -> AsyncIterator[EndpointRegistry]:
    redis = connect_redis(redis_url)
    yield EndpointRegistry(redis)
    await redis.aclose()


@pytest.fixture
async def host(registry: EndpointRegistry) -> AsyncIterator[Host]:
    host = Host(registry)
    yield host
    await host.stop()


@pytest.fixture
async def hosts(registry: EndpointRegistry) -> AsyncIterator[SessionHosts]:
    pool = StreamPool(SECRET)
    yield SessionHosts(pool, registry, SLOTS)
    await pool.close()


async def test_a_host_that_dies_within_an_answer_is_followed_on_its_successor(hosts: SessionHosts, host: Host) -> None:
    hold = asyncio.Event()

    async def submit(payload: Any) -> AsyncGenerator[Any, None]:
        yield event("ack", 0)
        yield event("token", 1)
        await hold.wait()

    async def follow(payload: Any) -> AsyncGenerator[Any, None]:
        yield event("token", 2)
        yield event("done", 3)

    await host.start(submit=submit)
    seen = []
    async for item in hosts.submit(TENANT, SESSION, "c1", "Hi", "r1"):
        seen.append(item["seq"])
        if item["seq"] == 1:
            await host.stop()
            await host.start(follow=follow)
    assert seen == [0, 1, 2, 3]
    name, payload = host.calls[-1]
    assert (name, payload["turn_id"], payload["seq"]) == ("follow", str(TURN), 1)


async def test_a_host_that_is_still_starting_is_waited_for(hosts: SessionHosts, host: Host) -> None:
    async def open_session(payload: Any) -> AsyncGenerator[Any, None]:
        yield {"chatbot_name": "B"}

    opening = asyncio.create_task(hosts.open_session(TENANT, SESSION, "k"))
    await asyncio.sleep(0)
    await host.start(open_session=open_session)
    assert await opening == {"chatbot_name": "B"}


async def test_an_error_of_the_host_is_not_repeated(hosts: SessionHosts, host: Host) -> None:
    async def submit(payload: Any) -> AsyncGenerator[Any, None]:
        if payload["text"]:
            raise NotFound("There is no such session.")
        yield {}

    await host.start(submit=submit)
    with pytest.raises(NotFound, match="no such session"):
        await anext(hosts.submit(TENANT, SESSION, "c1", "Hi", "r1"))
    assert len(host.calls) == 1


async def test_patience_ends(hosts: SessionHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_hosts, "_PATIENCE_SECONDS", 0.1)
    with pytest.raises(Unavailable):
        await hosts.stop(TENANT, SESSION, None)
    with pytest.raises(Unavailable):
        await anext(hosts.follow(TENANT, SESSION, TURN, 0))
