"""Servers that settings name: reached before anything is built on them, with one sentence when they cannot be."""

import asyncio

import psycopg
import redis
from psycopg.conninfo import conninfo_to_dict

from cluster.embedded.process import SetupError
from storage.postgres.migrator import MigrationChanged, migrate


def migrate_database(owner_url: str, secret: str) -> list[str]:
    """Bring the schema up to date; the names of the migrations applied now. Raises SetupError."""
    try:
        conninfo_to_dict(owner_url)
    except psycopg.ProgrammingError:
        raise SetupError("DATABASE_URL is not valid; it looks like postgresql://user:password@host/database.") from None
    try:
        return asyncio.run(migrate(owner_url, secret))
    except MigrationChanged as error:
        raise SetupError(str(error)) from error
    except psycopg.OperationalError as error:
        raise SetupError(f"The database does not let us in: {_reason(error)}.") from error
    except psycopg.Error as error:
        raise SetupError(f"The database cannot be migrated: {_reason(error)}.") from error


def check_redis(url: str) -> None:
    """Raises SetupError when no Redis or Valkey answers at `url`."""
    try:
        with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
            client.ping()
    except ValueError:
        raise SetupError("REDIS_URL is not valid; it looks like redis://:password@host:6379/0.") from None
    except redis.RedisError as error:
        raise SetupError(f"The Redis of REDIS_URL does not let us in: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")
