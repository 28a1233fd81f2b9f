"""The chatter of a run: sessions of every tenant whose clients behave well, leave, come back, stop or do not read."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cluster.client import Answer, ChatClient, ChatError
from tests.faults.journal import Journal, SessionJournal
from tests.faults.raw import LOST, raw_socket
from tests.faults.world import Tenant, World

WORDS = (10, 40)
POLL_SECONDS = 0.02
PAUSE_SECONDS = 0.4
DEAF_SECONDS = 2.0


@dataclass
class Talk:
    """One session's part in the load; it asks no more once it is `over`."""

    world: World
    tenant: Tenant
    journal: SessionJournal
    rng: random.Random
    over: asyncio.Event

    @property
    def goes_on(self) -> bool:
        return not self.over.is_set()

    def client(self, name: str) -> ChatClient:
        reader = self.journal.reader(name)
        tenant = self.tenant
        url = self.world.platform.url
        return ChatClient(url, tenant.token, tenant.bot, self.journal.session_id, observe=reader.observe)

    def question(self) -> tuple[UUID, str]:
        """A new id and text, noted as asked."""
        client_id = UUID(int=self.rng.getrandbits(128), version=4)
        words = [f"word{number}" for number in range(self.rng.randint(*WORDS))]
        text = " ".join([self.tenant.canary, client_id.hex, *words])
        self.journal.asked[str(client_id)] = text
        return client_id, text

    async def result(self, client_id: UUID, answer: Answer) -> None:
        """Wait for the end; until it comes the question counts as unanswered."""
        self.journal.unanswered.append(str(client_id))
        try:
            await answer.result()
        except ChatError as error:
            self.journal.note_error(error.code)
            # An honest client does not ask at once again.
            await asyncio.sleep(PAUSE_SECONDS)
        self.journal.unanswered.remove(str(client_id))

    async def ask(self, client: ChatClient, midway: Callable[[Answer], Awaitable[object]] | None = None) -> None:
        """Ask and wait for the end; `midway` is called once the first words are there."""
        client_id, text = self.question()
        answer = client.ask(text, id=client_id)
        end = asyncio.create_task(self.result(client_id, answer))
        try:
            if midway is not None:
                while not answer.text and not end.done():
                    await asyncio.sleep(POLL_SECONDS)
                await asyncio.sleep(self.rng.uniform(0, 0.3))
                if not end.done():
                    await midway(answer)
            await end
        finally:
            end.cancel()


async def plain(talk: Talk) -> None:
    async with talk.client("plain") as client:
        while talk.goes_on:
            await talk.ask(client)


async def leaving(talk: Talk) -> None:
    """Loses the connection in the middle of every answer."""
    async with talk.client("leaving") as client:
        while talk.goes_on:
            await talk.ask(client, lambda _: client.disconnect())


async def two_tabs(talk: Talk) -> None:
    """Two clients on one session, that ask in turns; each sees what the other's question is answered."""
    async with talk.client("first tab") as first, talk.client("second tab") as second:
        while talk.goes_on:
            await talk.ask(first)
            await talk.ask(second)


async def late_tab(talk: Talk) -> None:
    """A tab that opens while an answer is being written, and follows it."""

    async def look(_: Answer) -> None:
        async with talk.client("late tab"):
            await asyncio.sleep(PAUSE_SECONDS)

    async with talk.client("early tab") as client:
        while talk.goes_on:
            await talk.ask(client, look)


async def stopping(talk: Talk) -> None:
    async with talk.client("stopping") as client:
        while talk.goes_on:
            with suppress(ChatError):
                await talk.ask(client, lambda answer: client.stop(answer.turn_id))


async def resending(talk: Talk) -> None:
    """Sends the question again over another socket while it is being answered."""
    async with talk.client("resending") as client:
        while talk.goes_on:
            client_id, text = talk.question()
            answer = client.ask(text, id=client_id)
            end = asyncio.create_task(talk.result(client_id, answer))
            again = talk.journal.reader("again", follows_to_end=False)
            with suppress(*LOST):
                async with asyncio.timeout(5), _raw(talk, again) as socket:
                    await socket.send({"type": "message", "id": str(client_id), "text": text})
                    await socket.until("done")
            await end


async def deaf(talk: Talk) -> None:
    """Asks and reads nothing after the acknowledgement."""
    while talk.goes_on:
        client_id, text = talk.question()
        with suppress(*LOST):
            async with _raw(talk, talk.journal.reader("deaf", follows_to_end=False)) as socket:
                await socket.send({"type": "message", "id": str(client_id), "text": text})
                async with asyncio.timeout(5):
                    await socket.until("ack")
                socket.go_deaf()
                with suppress(TimeoutError):
                    await asyncio.wait_for(talk.over.wait(), DEAF_SECONDS)
        await asyncio.sleep(PAUSE_SECONDS)


BEHAVIOURS: tuple[Callable[[Talk], Awaitable[None]], ...] = (
    plain,
    leaving,
    two_tabs,
    late_tab,
    stopping,
    resending,
    deaf,
)


async def open_talks(
    world: World, journal: Journal, rng: random.Random, sessions: int, over: asyncio.Event
) -> list[Talk]:
    """New sessions of every tenant. Raises httpx.HTTPError."""
    talks = []
    for tenant in world.tenants:
        for _ in range(sessions):
            session = journal.open(tenant.id, tenant.canary, await world.new_session(tenant))
            talks.append(Talk(world, tenant, session, random.Random(rng.getrandbits(64)), over))
    return talks


async def chatter(talks: list[Talk], rng: random.Random) -> None:
    """All at once, each session with a behaviour of its own; returns when every answer has ended."""
    order = [behaviour for _ in range(len(talks)) for behaviour in BEHAVIOURS][: len(talks)]
    rng.shuffle(order)
    await asyncio.gather(*(_behave(behaviour, talk) for behaviour, talk in zip(order, talks, strict=True)))


async def _behave(behaviour: Callable[[Talk], Awaitable[None]], talk: Talk) -> None:
    """A client that could not even sign in tries again as long as the load lasts."""
    while True:
        try:
            await behaviour(talk)
            return
        except (ChatError, *LOST) as error:
            talk.journal.note_error(f"connect: {type(error).__name__}")
            if not talk.goes_on:
                return
            await asyncio.sleep(PAUSE_SECONDS)


def _raw(talk: Talk, reader: Any) -> Any:
    return raw_socket(talk.world, talk.tenant, talk.journal.session_id, reader)
