"""Documents of one bot that are erased at the same time: its table is written anew once, and no word is left."""

from uuid import UUID

import pytest

from domain.ids import ChatbotId, TenantId
from tests.fixtures.erasure import ErasureRig, canary
from tests.fixtures.gateway import Chat
from tests.fixtures.stored_turns import tenant_id_of


async def test_documents_that_wait_together_leave_with_one_rewriting_of_the_table(
    erasing: ErasureRig, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [canary() for _ in range(4)]
    tenant, bot = tenant_id_of(chat), ChatbotId(UUID(chat.bot))
    documents = [await erasing.document(chat, word, f"{word}.txt") for word in words]
    await erasing.vectors.optimize(tenant, bot)
    rewritten: list[ChatbotId] = []
    purge = erasing.vectors.purge

    async def counted(tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        rewritten.append(chatbot_id)
        await purge(tenant_id, chatbot_id)

    monkeypatch.setattr(erasing.vectors, "purge", counted)
    places = []
    for document in documents[:3]:
        answer = await chat.tenant.call("DELETE", f"/knowledgebase/{chat.bot}/documents/{document}")
        places.append(answer.headers["Location"].rpartition("/")[2])
    erasing.in_work.append((bot, documents[2]))
    eraser = erasing.eraser()
    first, second = [await erasing.finish(tenant, place, eraser) for place in places[:2]]
    assert rewritten == [bot], "once for both, and not for what is in work still"
    assert first.counts["vectors.chunks"] == second.counts["vectors.chunks"] == 1
    assert [await erasing.vectors.count(tenant, bot, one) for one in documents] == [0, 0, 1, 1]
    erasing.in_work.clear()
    assert (await erasing.finish(tenant, places[2], eraser)).counts["vectors.chunks"] == 1
    assert rewritten == [bot, bot]
    assert [await erasing.places(word) for word in words[:3]] == [[], [], []]
    assert await erasing.vectors.count(tenant, bot, documents[3]) == 1
