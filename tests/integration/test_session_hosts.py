"""The gateway's way to session hosts, over real streams and a real registry, also when a host is replaced."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from actors.streams import StreamPool, StreamServer
from deployments.gateway import host_addresses, session_hosts
from deployments.gateway.host_addresses import SERVICE, HostAddresses
from deployments.gateway.open_tabs import OpenTabs
from deployments.gateway.session_hosts import SessionHosts
from domain.conversation import Question
from domain.errors import NotFound, Unavailable
from domain.ids import MessageId, SessionId, TenantId, TurnId, new_uuid
from domain.placement import slot_of
from storage.redis.client import connect_redis
from storage.redis.registry import Endpoint, EndpointRegistry
from tests.fixtures.conditions import eventually

SECRET = "streams"
SLOTS = 2
TENANT, SESSION, TURN = TenantId(uuid4()), SessionId(uuid4()), TurnId(new_uuid())
SLOT = str(slot_of(TENANT, SLOTS))
Method = Callable[[Any], AsyncGenerator[Any, None]]


def event(kind: str, seq: int) -> dict[str, Any]:
    return {"k": kind, "turn": str(TURN), "epoch": 3, "seq": seq}


class Host:
    """A session host that can be killed and replaced."""

    def __init__(self, registry: EndpointRegistry, name: str = SLOT) -> None:
        self._registry = registry
        self._name = name
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
        await self._registry.announce(Endpoint(SERVICE, self._name, f"127.0.0.1:{self._server.port}"), ttl_seconds=60)

    async def withdraw(self) -> None:
        await self._registry.withdraw(SERVICE, self._name)

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


class Registry:
    """The real one, unless it is away; a call then takes as long as Redis makes it wait."""

    def __init__(self, real: EndpointRegistry) -> None:
        self._real = real
        self.away: Exception | None = None
        self.hangs = False
        self.reads = 0

    async def list(self, service: str) -> Any:
        self.reads += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise self.away
        return await self._real.list(service)


@pytest.fixture
def listed(registry: EndpointRegistry) -> Registry:
    return Registry(registry)


@pytest.fixture
async def hosts(listed: Registry, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SessionHosts]:
    monkeypatch.setattr(session_hosts, "_PAUSE_SECONDS", 0.02)
    pool = StreamPool(SECRET)
    yield SessionHosts(pool, HostAddresses(listed, SLOTS))
    await pool.close()


def answering(name: str) -> Method:
    async def open_session(payload: Any) -> AsyncGenerator[Any, None]:
        yield {"chatbot_name": name}

    return open_session


async def name_of(hosts: SessionHosts) -> str:
    """Which host answers."""
    return str((await hosts.open_session(TENANT, SESSION))["chatbot_name"])


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
    async for item in hosts.submit(TENANT, SESSION, Question("c1", "Hi"), "r1"):
        seen.append(item["seq"])
        if item["seq"] == 1:
            await host.stop()
            await host.start(follow=follow)
    assert seen == [0, 1, 2, 3]
    name, payload = host.calls[-1]
    assert (name, payload["turn_id"], payload["seq"], payload["epoch"]) == ("follow", str(TURN), 1, 3)


@pytest.mark.parametrize(
    ("question", "fields"),
    [
        (Question("c1", "Hi", edits=MessageId(TURN)), {"text": "Hi", "edits": str(TURN), "regenerates": None}),
        (Question("c1", regenerates=TURN), {"text": "", "edits": None, "regenerates": str(TURN)}),
    ],
)
async def test_a_question_arrives_whole(
    hosts: SessionHosts, host: Host, question: Question, fields: dict[str, Any]
) -> None:
    async def submit(payload: Any) -> AsyncGenerator[Any, None]:
        yield event("done", 1)

    await host.start(submit=submit)
    async for _ in hosts.submit(TENANT, SESSION, question, "r1"):
        pass
    about: dict[str, Any] = {
        "tenant_id": str(TENANT),
        "session_id": str(SESSION),
        "client_id": "c1",
        "request_id": "r1",
    }
    about |= {"locale": "", "form": None}
    assert host.calls == [("submit", about | fields)]


async def test_a_host_that_is_still_starting_is_waited_for(hosts: SessionHosts, host: Host) -> None:
    opening = asyncio.create_task(name_of(hosts))
    await asyncio.sleep(0)
    await host.start(open_session=answering("B"))
    assert await opening == "B"


async def test_an_error_of_the_host_is_not_repeated(hosts: SessionHosts, host: Host) -> None:
    async def submit(payload: Any) -> AsyncGenerator[Any, None]:
        if payload["text"]:
            raise NotFound("There is no such session.")
        yield {}

    await host.start(submit=submit)
    with pytest.raises(NotFound, match="no such session"):
        await anext(hosts.submit(TENANT, SESSION, Question("c1", "Hi"), "r1"))
    assert len(host.calls) == 1


async def test_stop_says_whether_something_ran(hosts: SessionHosts, host: Host) -> None:
    async def stop(payload: Any) -> AsyncGenerator[Any, None]:
        yield {"stopped": payload["turn_id"] == str(TURN)}

    await host.start(stop=stop)
    assert await hosts.stop(TENANT, SESSION, TURN) is True
    assert await hosts.stop(TENANT, SESSION, None) is False


async def test_patience_ends(hosts: SessionHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_hosts, "_PATIENCE_SECONDS", 0.1)
    with pytest.raises(Unavailable):
        await hosts.stop(TENANT, SESSION, None)
    with pytest.raises(Unavailable):
        await anext(hosts.follow(TENANT, SESSION, TURN, 0))


@pytest.mark.parametrize("fault", [RedisConnectionError("away"), "hangs"])
async def test_while_redis_is_away_the_last_address_is_used(
    hosts: SessionHosts, host: Host, listed: Registry, monkeypatch: pytest.MonkeyPatch, fault: Exception | str
) -> None:
    monkeypatch.setattr(host_addresses, "_FRESH_SECONDS", 0.0)
    monkeypatch.setattr(host_addresses, "_READ_SECONDS", 0.05)
    await host.start(open_session=answering("A"))
    assert await name_of(hosts) == "A"
    listed.away, listed.hangs = (None, True) if isinstance(fault, str) else (fault, False)
    reads = listed.reads
    # A call does not look again while another still does: there are calls until one has looked in vain.
    async with asyncio.timeout(10):
        while listed.reads == reads:
            assert await name_of(hosts) == "A"
            await asyncio.sleep(0.01)
    assert await name_of(hosts) == "A"
    # A host that is restarted meanwhile is found when Redis is back.
    await host.stop()
    opening = asyncio.create_task(name_of(hosts))
    await host.start(open_session=answering("B"))
    reads = listed.reads
    await eventually(lambda: listed.reads > reads)
    listed.away, listed.hangs = None, False
    assert await opening == "B"


async def test_a_slot_that_is_no_longer_listed_keeps_its_address(
    hosts: SessionHosts, host: Host, listed: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_addresses, "_FRESH_SECONDS", 0.0)
    await host.start(open_session=answering("A"))
    assert await name_of(hosts) == "A"
    await host.withdraw()
    assert await hosts.hosts() == [SLOT]
    assert await name_of(hosts) == "A"


async def test_the_tenants_own_host_wins_and_gives_way_when_it_is_gone(
    hosts: SessionHosts, host: Host, registry: EndpointRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_addresses, "_FRESH_SECONDS", 0.0)
    own = Host(registry, str(TENANT))
    await host.start(open_session=answering("shared"))
    await own.start(open_session=answering("own"))
    try:
        assert sorted(await hosts.hosts()) == sorted([SLOT, str(TENANT)])
        assert await name_of(hosts) == "own"
        # Not listed, but it answers: a registry that was emptied moves nobody.
        await own.withdraw()
        await hosts.hosts()
        assert await name_of(hosts) == "own"
    finally:
        await own.stop()
    assert await name_of(hosts) == "shared"
    assert await hosts.hosts() == [SLOT]


async def test_a_host_is_watched_once_and_again_after_it_was_lost(hosts: SessionHosts, host: Host) -> None:
    begun = {"tenant": str(TENANT), "session": str(SESSION), "turn": str(TURN)}

    async def watch(payload: Any) -> AsyncGenerator[Any, None]:
        yield begun
        await asyncio.Event().wait()

    class Tab:
        def __init__(self) -> None:
            self.noticed: list[str] = []

        def notice(self, turn_id: str) -> None:
            self.noticed.append(turn_id)

        def erased(self) -> None:
            self.noticed.append("erased")

    await host.start(watch=watch)
    tab, tabs = Tab(), OpenTabs()
    tabs.add(TENANT, SESSION, tab)
    await tabs.watch(hosts)
    await tabs.watch(hosts)
    await eventually(lambda: tab.noticed == [str(TURN)])
    await host.stop()
    await host.start(watch=watch)
    await eventually(lambda: tab.noticed == [str(TURN)] * 2)
    assert [name for name, _ in host.calls] == ["watch", "watch"]
    tabs.remove(TENANT, SESSION, tab)
    await tabs.close()
