"""What the Python client says and makes of what it hears, without a socket."""

import asyncio

import pytest

from cluster.client.answer import Answer, ChatError
from cluster.client.session_state import MOST_LOSSES, MOST_VIEWS
from tests.fixtures.client_talk import OTHER, TURN, Talk, ack, done, error, gap, token


@pytest.fixture
def talk() -> Talk:
    return Talk()


async def failure(answer: Answer) -> ChatError:
    with pytest.raises(ChatError) as caught:
        await asyncio.wait_for(answer.result(), 5)
    return caught.value


async def test_an_answer_from_question_to_end(talk: Talk) -> None:
    answer = talk.ask()
    assert talk.link.posted == [{"type": "message", "id": "q", "text": "?"}]
    talk.hear(ack(), token(1), token(2))
    await answer.acknowledged()
    assert not answer.ended
    talk.hear(done(3))
    result = await answer.result()
    assert (result.text, result.state, result.turn_id, result.seqs) == ("1 2 ", "completed", TURN, 3)
    assert [piece async for piece in answer] == ["1 2 "]
    assert talk.state.resumable() is None


async def test_pieces_come_as_they_are_heard(talk: Talk) -> None:
    answer = talk.ask()
    pieces = aiter(answer)
    talk.hear(ack(), token(1))
    assert await anext(pieces) == "1 "
    waiting = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    assert not waiting.done()
    talk.hear(token(2))
    assert await waiting == "2 "
    talk.hear(gap(9, "1 2 and more"))
    assert await anext(pieces) == "and more"
    talk.hear(gap(10, "quite another text"), token(11))
    assert answer.text == "quite another text11 "
    talk.hear(done(12))
    assert [piece async for piece in pieces] == []


async def test_an_unacknowledged_question_is_sent_again_and_a_turn_is_resumed(talk: Talk) -> None:
    answer = talk.ask()
    assert talk.come_back().posted == [{"type": "message", "id": "q", "text": "?"}]
    talk.hear(ack(), token(1), token(2))
    link = talk.come_back()
    assert (link.resumed, link.posted) == (TURN, [])
    talk.hear(token(3), done(4))
    assert (await answer.result()).text == "1 2 3 "
    assert not talk.violations


async def test_an_acknowledged_turn_that_was_not_resumed_is_asked_for_again(talk: Talk) -> None:
    first, second = talk.ask("q"), talk.ask("p")
    talk.hear(ack(), token(1), token(2), ack(OTHER, "p"))
    link = talk.come_back()
    assert link.resumed == OTHER
    assert [frame["id"] for frame in link.posted] == ["q"]
    talk.hear(ack(duplicate=True), token(1))
    assert first.text == "1 2 "
    talk.hear(token(5, first_seq=2, text="2 3 4 5 "), done(6), token(1, OTHER), done(2, OTHER))
    assert (await first.result()).text == "1 2 3 4 5 "
    assert (await second.result()).text == "1 "
    assert not talk.violations


async def test_a_stored_answer_with_fewer_events_still_ends_it(talk: Talk) -> None:
    answer = talk.ask()
    talk.hear(ack(), *(token(seq) for seq in range(1, 8)))
    talk.hear(error("not_found", turn_id=TURN))
    assert talk.link.posted[-1]["type"] == "message"
    talk.hear(ack(duplicate=True), token(1, text="1 2 3 4 5 6 7 8"), done(2))
    assert (await answer.result()).text == "1 2 3 4 5 6 7 8"
    assert not talk.violations


async def test_a_process_that_knows_less_than_the_client_is_asked_for_all_of_it(talk: Talk) -> None:
    answer = talk.ask()
    talk.hear(ack(), token(1), token(2), token(3))
    talk.come_back()
    talk.hear(error("invalid_input", turn_id=TURN))
    assert talk.link.posted == [{"type": "message", "id": "q", "text": "?"}]
    talk.hear(ack(duplicate=True), token(1), token(2, epoch=2, text="two "))
    assert answer.text == "1 two "
    talk.hear(token(3, epoch=2, text="three"), done(4, epoch=2))
    assert (await answer.result()).text == "1 two three"
    assert not talk.violations


def test_the_same_for_the_answer_of_another_tab(talk: Talk) -> None:
    talk.hear(token(1, OTHER), token(2, OTHER))
    link = talk.come_back()
    talk.hear(error("invalid_input", turn_id=OTHER))
    assert link.left
    talk.come_back()
    talk.hear(token(1, OTHER, epoch=2), done(2, OTHER, epoch=2))
    assert talk.state.views[OTHER].text == "1 "
    assert not talk.violations


async def test_two_connections_may_tell_the_same_turn(talk: Talk) -> None:
    answer = talk.ask()
    talk.hear(ack(), token(1), token(2))
    old = talk.link
    talk.come_back()
    talk.hear(token(3), token(4), link=old)
    talk.hear(token(5, first_seq=3, text="3 4 5 "))
    assert answer.text == "1 2 3 4 5 "
    talk.hear(token(5), link=old)
    talk.hear(token(6), done(7))
    assert (await answer.result()).text == "1 2 3 4 5 6 "
    assert not talk.violations


@pytest.mark.parametrize("code", ["rate_limited", "turn_running", "unavailable"])
async def test_a_refused_question_is_told_and_not_tried_again(talk: Talk, code: str) -> None:
    answer = talk.ask()
    talk.hear(error(code, id="q", retry_after=2.5))
    refused = await failure(answer)
    assert (refused.code, refused.message, refused.retry_after, refused.request_id) == (code, "No.", 2.5, "r")
    with pytest.raises(ChatError):
        await answer.acknowledged()
    assert talk.come_back().posted == []


async def test_a_turn_may_end_with_an_error(talk: Talk) -> None:
    answer = talk.ask()
    talk.hear(ack(), token(1), error("engine_failed", turn_id=TURN, epoch=1, seq=2))
    assert (await failure(answer)).code == "engine_failed"
    assert answer.text == "1 "
    with pytest.raises(ChatError):
        assert [piece async for piece in answer] == ["1 "]


async def test_a_broken_stream_is_taken_up_on_another_connection_a_few_times(talk: Talk) -> None:
    answer = talk.ask()
    talk.hear(ack(), token(1))
    for _ in range(MOST_LOSSES):
        talk.hear(error("unavailable", turn_id=TURN))
        assert talk.link.left
        assert talk.come_back().resumed == TURN
    assert not answer.ended
    talk.hear(error("unavailable", turn_id=TURN))
    assert (await failure(answer)).code == "unavailable"


async def test_a_dropped_frame_fails_what_was_not_acknowledged(talk: Talk) -> None:
    first = talk.ask("q")
    talk.hear(ack())
    second = talk.ask("p")
    talk.hear(error("rate_limited", retry_after=1))
    assert (await failure(second)).retry_after == 1
    talk.hear(token(1), done(2))
    assert (await first.result()).text == "1 "


async def test_a_stop_waits_for_the_turn_and_survives_the_connection(talk: Talk) -> None:
    answer = talk.ask()
    talk.state.stop(None, talk.link)
    assert len(talk.link.posted) == 1
    talk.hear(ack())
    stop = {"type": "stop", "turn_id": TURN}
    assert talk.link.posted[-1] == stop
    assert talk.come_back().posted == [stop]
    talk.hear(error("turn_not_running", turn_id=TURN))
    talk.hear(token(1), done(2, state="stopped"))
    assert (await answer.result()).state == "stopped"
    assert talk.come_back().posted == []


def test_a_receipt_is_told_again_while_the_server_misses_it(talk: Talk) -> None:
    receipt = {"type": "delivered", "message_id": "a"}
    talk.state.delivered("a", None)
    assert talk.link.posted == []
    assert talk.come_back(undelivered=[{"turn_id": TURN, "message_id": "a"}]).posted == [receipt]
    assert talk.come_back().posted == []


def test_the_answer_of_another_tab_is_followed(talk: Talk) -> None:
    active = {"turn_id": OTHER, "epoch": 1, "seq": 2}
    assert talk.come_back(active_turn=active).left
    link = talk.come_back(active_turn=active)
    assert (link.resumed, link.left) == (OTHER, False)
    talk.hear(token(1, OTHER), done(2, OTHER), token(1, "turn-3"))
    assert [talk.state.views[turn].text for turn in (OTHER, "turn-3")] == ["1 ", "1 "]
    assert not talk.violations


def test_a_turn_of_another_tab_that_is_gone_is_left_alone(talk: Talk) -> None:
    active = {"turn_id": OTHER, "epoch": 1, "seq": 2}
    talk.come_back(active_turn=active)
    talk.come_back(active_turn=active)
    talk.hear(error("not_found", turn_id=OTHER))
    link = talk.come_back(active_turn=active)
    assert (link.resumed, link.left) == (None, False)


async def test_asking_an_open_question_again_is_the_same_answer(talk: Talk) -> None:
    answer = talk.ask()
    talk.hear(ack(), token(1))
    assert talk.ask() is answer
    assert len(talk.link.posted) == 2
    talk.hear(ack(duplicate=True), token(1), token(2), done(3))
    assert (await answer.result()).text == "1 2 "
    again = talk.ask()
    talk.hear(ack(duplicate=True))
    assert (await again.result()).text == "1 2 "
    assert not talk.violations


async def test_one_question_has_one_turn(talk: Talk) -> None:
    answer = talk.ask()
    talk.hear(ack(), token(1), ack(OTHER, duplicate=True))
    assert len(talk.violations) == 1
    assert answer.turn_id == TURN


async def test_after_a_fatal_end_every_answer_fails(talk: Talk) -> None:
    waiting = talk.ask()
    talk.state.fail(ChatError("not_found", "Gone."))
    assert (await failure(waiting)).code == "not_found"
    assert (await failure(talk.ask("p"))).code == "not_found"


def test_the_views_of_the_last_turns_are_kept(talk: Talk) -> None:
    running = talk.ask()
    talk.hear(ack(), token(1))
    for number in range(MOST_VIEWS * 2):
        talk.hear(token(1, f"tab-{number}"), done(2, f"tab-{number}"))
    assert len(talk.state.views) == MOST_VIEWS
    talk.hear(token(2), done(3))
    assert running.text == "1 2 "
