"""What prompts are made of on real stores: the visitor's language and attributes, summaries, and what is recalled."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

from actors.resealing import reseal
from actors.tenant_actor import TenantActor
from domain.chatbot import ChatbotConfig
from domain.conversation import Question
from domain.errors import EngineFailed
from domain.generation import Delta, EngineTarget, GenerationRequest
from domain.ids import ChatbotId, MessageId
from domain.sealing import attributes_place, summary_place
from storage.blobs import BlobStore
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import fetch_one, tenant_tx
from storage.postgres.reviews import Reviews
from storage.postgres.sessions import Sessions
from storage.postgres.tenant_keys import cipher_of
from storage.postgres.visitors import Visitors
from tests.fixtures.conditions import eventually
from tests.fixtures.desk import Desk, collect
from tests.fixtures.twins import TwinGenerator
from tests.integration.test_resealing import rotate

SUMMARY = {"strategy": "summary", "recent": 1, "summarize_after_tokens": 100, "summary_tokens": 40}


class Forgetful(TwinGenerator):
    """Fails at its first summary."""

    async def generate(self, target: EngineTarget, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        if request.id.startswith("summary-") and not any(one.id.startswith("summary-") for one in self.requests):
            self.requests.append(request)
            raise EngineFailed
        async for delta in super().generate(target, request):
            yield delta


async def configure(desk: Desk, **fields: Any) -> None:
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        row = await fetch_one(tx, "select chatbot_id from sessions where id = %(id)s", id=desk.session)
        assert row is not None
        bot = await Chatbots(tx).get(desk.tenant, ChatbotId(row["chatbot_id"]))
        await Chatbots(tx).add_version(bot, ChatbotConfig.model_validate(fields))


async def ask(desk: Desk, actor: TenantActor, text: str, **more: Any) -> dict[str, Any]:
    """Ask, and wait for the end; the last event."""
    events = await collect(actor.submit(desk.session, Question(str(uuid4()), text, **more)))
    assert events[-1]["k"] == "done", events[-1]
    return events[-1]


def asked(desk: Desk) -> list[str]:
    """What the model was told for the last answer, message by message."""
    answers = [one for one in desk.generator.requests if not one.id.startswith("summary-")]
    return [message.content for message in answers[-1].messages]


async def summaries(desk: Desk, count: int) -> list[dict[str, Any]]:
    """Wait for so many; oldest first."""

    async def there() -> bool:
        return len(await desk.rows("session_summaries")) >= count

    await eventually(there)
    return sorted(await desk.rows("session_summaries"), key=lambda row: row["created_at"])


async def test_a_template_gets_the_visitors_language_and_attributes(desk: Desk) -> None:
    template = "{{chatbot_name}} speaks {{language|English}} with {{visitor.name|somebody}}."
    await configure(desk, prompt={"template": template})
    actor = await desk.activate()
    await ask(desk, actor, "What does the lamp cost?")
    assert asked(desk)[0].startswith("Lamps speaks English with somebody.")
    await ask(desk, actor, "And the lamp in blue?", locale="de-AT")
    assert asked(desk)[0].startswith("Lamps speaks German with somebody.")
    await ask(desk, actor, "And the lamp in red?")
    assert asked(desk)[0].startswith("Lamps speaks German"), "the session knows the language by now"
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        bot = (await Chatbots(tx).list_all(desk.tenant))[-1].id
        visitor = await Visitors(tx).identify(desk.tenant, bot, "u-1", {"name": "Zoë"})
        desk.session = (await Sessions(tx).insert(desk.tenant, bot, "", visitor)).id
    await configure(desk, prompt={"template": template})
    await ask(desk, actor, "What does the lamp cost?")
    assert asked(desk)[0].startswith('Lamps speaks English with "Zoë".')
    [row] = [row for row in await desk.rows("visitors") if row["id"] == visitor]
    assert "Zoë".encode() not in row["sealed_attributes"]


async def test_a_long_conversation_is_summed_up_once_and_remembered(desk: Desk) -> None:
    await configure(desk, max_tokens=40, context=SUMMARY)
    actor = await desk.activate()
    for number in range(2):
        await ask(desk, actor, f"What does lamp {number} cost? " + "please " * 100)
    [summary] = await summaries(desk, 1)
    assert b"forty" not in summary["sealed"]
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        cipher = await cipher_of(tx, desk.tenant)
    place = summary_place(desk.session, summary["turn_id"])
    assert cipher.open_text(place, summary["sealed"]) == "It costs forty euros."
    [request] = [one for one in desk.generator.requests if one.id.startswith("summary-")]
    assert "lamp 0" in request.messages[-1].content
    assert "lamp 1" not in request.messages[-1].content, "the recent exchange is left as it is"
    # Two answers and the summary are in the ledger, each once.
    ledger, turns = await desk.rows("usage_ledger"), {turn["id"] for turn in await desk.rows("turns")}
    assert [row["turn_id"] in turns for row in ledger].count(True) == 2
    assert len(ledger) == 3
    await ask(desk, actor, "What does it cost?")
    told = asked(desk)
    assert "lamp 0" not in " ".join(told)
    assert any("lamp 1" in message for message in told)
    assert "summed up" in told[-1]
    assert "It costs forty euros." in told[-1]


async def test_another_branch_has_no_use_for_a_summary(desk: Desk) -> None:
    await configure(desk, max_tokens=40, context=SUMMARY)
    actor = await desk.activate()
    for number in range(2):
        await ask(desk, actor, f"What does lamp {number} cost? " + "please " * 100)
    await summaries(desk, 1)
    first = min(await desk.rows("turns"), key=lambda row: row["created_at"])
    await ask(desk, actor, "What does the table cost?", edits=MessageId(first["user_message_id"]))
    assert "lamp 0" not in " ".join(asked(desk))
    assert "summed up" not in asked(desk)[-1]


async def test_what_is_withheld_is_in_no_summary_any_more(desk: Desk) -> None:
    await configure(desk, max_tokens=40, context=SUMMARY)
    actor = await desk.activate()
    for number in range(2):
        await ask(desk, actor, f"What does lamp {number} cost? " + "please " * 100)
    await summaries(desk, 1)
    first = min(await desk.rows("turns"), key=lambda row: row["created_at"])
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        assert await Reviews(tx, desk.tenant).withhold(MessageId(first["user_message_id"]))
    assert await desk.rows("session_summaries") == []
    await ask(desk, actor, "What does it cost?")
    assert "summed up" not in asked(desk)[-1]


async def test_a_summary_that_was_not_made_is_made_after_the_next_turn(desk: Desk) -> None:
    await configure(desk, max_tokens=40, context=SUMMARY)
    desk.generator = Forgetful({"first": ["It costs ", "forty ", "euros."]})
    actor = await desk.activate()
    for number in range(2):
        await ask(desk, actor, f"What does lamp {number} cost? " + "please " * 100)
    await eventually(lambda: desk.generator.requests[-1].id.startswith("summary-"))
    await ask(desk, actor, "What does lamp 2 cost?")
    [summary] = await summaries(desk, 1)
    turns = sorted(await desk.rows("turns"), key=lambda row: row["created_at"])
    assert summary["turn_id"] == turns[1]["id"], "both that are not recent any more"


async def test_what_was_said_long_ago_is_recalled(desk: Desk) -> None:
    await configure(desk, context={"strategy": "recall", "recent": 2})
    actor = await desk.activate()
    await ask(desk, actor, "My copper lantern is broken, what does a lamp cost?")
    for number in range(11):
        await ask(desk, actor, f"What does lamp {number} cost?")
    await ask(desk, actor, "What did I say about the lantern?")
    told = asked(desk)
    assert "Visitor: My copper lantern is broken" in told[-1]
    assert [message for message in told[1:-1] if message.startswith("What")] == [
        "What does lamp 9 cost?",
        "What does lamp 10 cost?",
    ]


async def test_summaries_and_attributes_are_sealed_anew(desk: Desk) -> None:
    await configure(desk, max_tokens=40, context=SUMMARY)
    actor = await desk.activate()
    for number in range(2):
        await ask(desk, actor, f"What does lamp {number} cost? " + "please " * 100)
    await summaries(desk, 1)
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        bot = (await Chatbots(tx).list_all(desk.tenant))[-1].id
        await Visitors(tx).identify(desk.tenant, bot, "u-1", {"name": "Zoë"})
    await rotate(desk)
    done = await reseal(desk.knowledge.db, BlobStore(desk.knowledge.objects_url), 0.0)
    assert (done.keys, done.failed) == (1, ())
    async with tenant_tx(desk.knowledge.db, desk.tenant) as tx:
        cipher = await cipher_of(tx, desk.tenant)
    [summary], [visitor] = await desk.rows("session_summaries"), await desk.rows("visitors")
    assert cipher.open_text(summary_place(desk.session, summary["turn_id"]), summary["sealed"])
    assert "Zoë" in cipher.open_text(attributes_place(visitor["id"]), visitor["sealed_attributes"])
