"""Conversations from before branches: they become one line each, with nothing left to deliver."""

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from storage.postgres import migrator
from storage.postgres.migrator import migrate, role_urls
from tests.fixtures.database import DATABASE_SECRET

MIGRATIONS = migrator.MIGRATIONS
_numbers = count(1)


def next_id() -> UUID:
    """Sorts by creation, also within a millisecond."""
    return UUID(int=next(_numbers))


@pytest.fixture
async def url(make_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database before branches."""
    url = make_database()
    shutil.copy(MIGRATIONS / "0001_schema.sql", tmp_path)
    monkeypatch.setattr(migrator, "MIGRATIONS", tmp_path)
    await migrate(url, DATABASE_SECRET)
    monkeypatch.undo()
    return url


class Before:
    """Rows of one tenant as they were stored before branches."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self.tenant, self.bot = next_id(), next_id()
        connection.execute("insert into tenants (id, name) values (%s, 'Example')", (self.tenant,))
        connection.execute("insert into chatbots (tenant_id, id, name) values (%s, %s, 'Bot')", (self.tenant, self.bot))

    def session(self) -> UUID:
        session = next_id()
        self._connection.execute(
            "insert into sessions (tenant_id, id, chatbot_id) values (%s, %s, %s)", (self.tenant, session, self.bot)
        )
        return session

    def turn(self, session: UUID, *, answered: bool = True) -> UUID:
        turn, question = next_id(), next_id()
        self._connection.execute(
            "insert into turns (tenant_id, id, session_id, chatbot_id, config_version, client_id, user_message_id,"
            " epoch, state) values (%s, %s, %s, %s, 1, %s, %s, 1, %s)",
            (self.tenant, turn, session, self.bot, str(turn), question, "completed" if answered else "failed"),
        )
        for message, role in ((question, "user"), (next_id(), "assistant"))[: 1 + answered]:
            self._connection.execute(
                "insert into messages (tenant_id, id, session_id, turn_id, role, content)"
                " values (%s, %s, %s, %s, %s, %s)",
                (self.tenant, message, session, turn, role, role),
            )
        return turn


def pairs(connection: psycopg.Connection, query: str) -> dict[UUID, UUID | None]:
    return {row[0]: row[1] for row in connection.execute(query.encode())}


async def test_sessions_become_lines_with_their_last_turn_as_head(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        first, second = Before(connection), Before(connection)
        # Turns of sessions and tenants alternate: a line follows its own session only.
        sessions = [first.session(), second.session(), first.session(), first.session()]
        lines: list[list[UUID]] = [[], [], [], []]
        for number in range(3):
            lines[0].append(first.turn(sessions[0], answered=number != 1))
            lines[1].append(second.turn(sessions[1]))
        lines[2].append(first.turn(sessions[2]))
        await migrate(url, DATABASE_SECRET)
        parents = pairs(connection, "select id, parent_turn_id from turns")
        heads = pairs(connection, "select id, head_turn_id from sessions")
    assert parents == {turn: parent for line in lines for turn, parent in zip(line, [None, *line], strict=False)}
    assert heads == dict(zip(sessions, [line[-1] if line else None for line in lines], strict=True))


async def test_old_answers_count_as_delivered(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        before = Before(connection)
        session = before.session()
        for _ in range(2):
            before.turn(session)
        await migrate(url, DATABASE_SECRET)
        found = connection.execute("select role, delivered_at = created_at from messages order by id").fetchall()
        open_sessions = connection.execute("select closed_at, visitor_id from sessions").fetchall()
    assert found == [("user", None), ("assistant", True)] * 2
    assert open_sessions == [(None, None)]


async def test_row_level_security_is_forced_again(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        before = Before(connection)
        before.turn(before.session())
        await migrate(url, DATABASE_SECRET)
        loose = connection.execute(
            "select relname from pg_class where relname in ('turns', 'sessions', 'messages', 'visitors', 'feedback')"
            " and not (relrowsecurity and relforcerowsecurity)"
        ).fetchall()
    assert loose == []
    with psycopg.connect(role_urls(url, DATABASE_SECRET)[0]) as app:
        assert app.execute("select count(*) from turns").fetchone() == (0,)
        app.execute("select set_config('app.tenant', %s, true)", (str(before.tenant),))
        assert app.execute("select count(*) from turns").fetchone() == (1,)
