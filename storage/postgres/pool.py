"""Connection pools whose connections are as new whenever they are handed out, whatever the last caller did."""

import select

from psycopg import AsyncConnection, OperationalError
from psycopg.pq import PipelineStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from storage.keys import TenantCipher, Vault

WAIT_SECONDS = 10.0
"""For a connection."""


class Transaction(AsyncConnection[DictRow]):
    """A connection inside a transaction; repositories take it and never commit."""

    vault: Vault | None = None
    """Its database's."""
    cipher: TenantCipher | None = None
    """What this transaction has read; see `storage.postgres.tenant_keys`."""


Pool = AsyncConnectionPool[Transaction]


def make_pool(url: str, name: str, min_size: int, max_size: int) -> Pool:
    """Not open yet."""
    return AsyncConnectionPool(
        url,
        connection_class=Transaction,
        min_size=min_size,
        max_size=max_size,
        open=False,
        timeout=WAIT_SECONDS,
        max_idle=300,
        check=_check_alive,
        reset=_check_as_new,
        kwargs={
            "row_factory": dict_row,
            "application_name": name,
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "tcp_user_timeout": 15_000,
            "options": "-c statement_timeout=30s -c idle_in_transaction_session_timeout=60s",
        },
    )


async def _check_alive(connection: Transaction) -> None:
    """Raises OperationalError when the server has closed the connection, or is saying that it will.

    Nothing is awaited: the pool's own check switches autocommit on for a moment, and a caller that is cancelled there
    would leave it on, so that the next one's statements were no transaction.
    """
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    if socket.poll(0):
        # The pool replaces what it finds closed, and would hand out again what only failed a check.
        connection.pgconn.finish()
        raise OperationalError("The server has closed the connection.")


async def _check_as_new(connection: Transaction) -> None:
    """Raises OperationalError, and the pool closes it, for a connection that a caller left halfway."""
    if connection.autocommit or connection.pgconn.pipeline_status != PipelineStatus.OFF:
        raise OperationalError("A cancelled caller left the connection in another mode.")
