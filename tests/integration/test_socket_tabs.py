"""Several sockets of one session: a turn that begins in one is followed by the others by itself."""

from uuid import UUID

import pytest

from domain.ids import SessionId, TenantId, TurnId, new_uuid
from tests.fixtures.conditions import eventually
from tests.fixtures.gateway import Chat, ChatClient, GatewayRig, SocketRig, ask
from tests.fixtures.stored_turns import tenant_id_of


@pytest.fixture(autouse=True)
async def watched(rig: GatewayRig) -> None:
    await eventually(lambda: rig.conversations.watchers)


async def text_of(client: ChatClient) -> str:
    """The answer that comes, whose numbers have no gap."""
    frames = await client.until("done")
    events = [frame for frame in frames if frame["type"] != "ack"]
    numbers = [n for frame in events for n in range(frame.get("first_seq") or frame["seq"], frame["seq"] + 1)]
    assert numbers == list(range(1, 8))
    return "".join(frame.get("text", "") for frame in events)


async def test_every_other_tab_follows_and_only_the_one_that_asked_has_an_ack(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    elsewhere = Chat(chat.tenant, chat.bot, await chat.tenant.new_session(chat.bot))
    async with (
        await socket_rig.ready(*chat.where) as first,
        await socket_rig.ready(*chat.where) as second,
        await socket_rig.ready(*chat.where) as third,
        await socket_rig.ready(*elsewhere.where) as stranger,
    ):
        await ask(first)
        assert (await first.expect("ack"))["duplicate"] is False
        assert await text_of(first) == "Twelve months."
        for other in (second, third):
            frames = await other.until("status")
            assert [frame["type"] for frame in frames] == ["status"]
            assert frames[0]["seq"] == 1
            assert (await other.until("done"))[-1]["seq"] == 7
        await stranger.send(type="ping")
        await stranger.expect("pong")
    assert rig.conversations.asked == 1


async def test_a_turn_asked_over_http_shows_on_the_socket(socket_rig: SocketRig, chat: Chat) -> None:
    async with await socket_rig.ready(*chat.where) as tab:
        await chat.tenant.post(f"/chatbots/{chat.bot}/sessions/{chat.session}/messages", json={"text": "How long?"})
        assert await text_of(tab) == "Twelve months."


async def test_a_tab_that_opens_later_resumes_what_ready_names(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    rig.conversations.may_end.clear()
    async with await socket_rig.ready(*chat.where) as first:
        await ask(first)
        turn = (await first.until("token"))[0]["turn_id"]
        async with await socket_rig.ready(*chat.where, resume={"turn_id": turn, "seq": 0}) as second:
            # Announced once more, it is followed already.
            rig.conversations.announce(tenant_id_of(chat), SessionId(UUID(chat.session)), TurnId(UUID(turn)))
            rig.conversations.may_end.set()
            assert await text_of(second) == "Twelve months."
        await first.until("done")


async def test_two_tabs_that_ask_at_once_both_show_the_turn_that_won(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    rig.conversations.may_store.clear()
    rig.conversations.may_end.clear()
    async with await socket_rig.ready(*chat.where) as loser:
        # Its question is on its way when the announcement of another one comes, and is refused then.
        refused = await ask(loser)
        await eventually(lambda: rig.conversations.asked == 1)
        winner = rig.conversations.begin(tenant_id_of(chat), SessionId(UUID(chat.session)))
        await eventually(lambda: all(watcher.empty() for watcher in rig.conversations.watchers))
        rig.conversations.may_store.set()
        frames = await loser.until("token")
        error = next(frame for frame in frames if frame["type"] == "error")
        assert (error["code"], error["id"]) == ("turn_running", refused)
        assert frames[-1]["turn_id"] == str(winner)
        rig.conversations.may_end.set()
        await loser.until("done")


async def test_announcements_come_again_after_the_watch_was_lost(
    rig: GatewayRig, socket_rig: SocketRig, chat: Chat
) -> None:
    async with await socket_rig.ready(*chat.where) as first, await socket_rig.ready(*chat.where) as second:
        lost = rig.conversations.watchers[0]
        rig.conversations.lose_watchers()
        await eventually(lambda: rig.conversations.watchers and rig.conversations.watchers[0] is not lost)
        await ask(first)
        assert await text_of(second) == "Twelve months."


async def test_an_announcement_reaches_only_its_own_tenant(rig: GatewayRig, socket_rig: SocketRig, chat: Chat) -> None:
    async with await socket_rig.ready(*chat.where) as tab:
        session_id = SessionId(UUID(chat.session))
        rig.conversations.announce(TenantId(new_uuid()), session_id, TurnId(new_uuid()))
        await eventually(lambda: all(watcher.empty() for watcher in rig.conversations.watchers))
        await tab.send(type="ping")
        await tab.expect("pong")
