"""A tenant whose plan has a process of its own gets it while the platform runs, and gives it back with the plan."""

import time
from collections.abc import Callable

import httpx
import psycopg
import pytest

from tests.fixtures.chat import OpenChat, make_bot, make_session
from tests.fixtures.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PATIENCE_SECONDS = 90.0


def query(platform: Platform, statement: str, *values: str) -> str:
    with psycopg.connect(platform.system_url) as connection:
        row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return str(row[0])


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_plan_gives_and_takes_a_host(platform: Platform, owner: httpx.Client, open_chat: OpenChat) -> None:
    bot = make_bot(owner)
    tenant = query(platform, "select tenant_id from chatbots where id = %s", bot)
    own = f"session-host-{tenant}"

    def answered_by() -> str:
        chat = open_chat(owner, bot, make_session(owner, bot))
        if chat.sign_in()["type"] != "ready" or chat.ask("Is anybody there?")[-1]["type"] != "done":
            return ""
        return query(platform, "select host from tenant_epochs where tenant_id = %s", tenant)

    assert answered_by() not in ("", own)
    query(platform, "update tenants set plan = 'business' where id = %s returning id", tenant)
    eventually(lambda: answered_by() == own)
    query(platform, "update tenants set plan = 'pro' where id = %s returning id", tenant)
    eventually(lambda: answered_by() not in ("", own))
