"""The embedded servers keep what was acknowledged through a kill -9, and say plainly what is in their way."""

import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg
import pytest
import redis
import stripe

from cluster.embedded import EmbeddedPostgres, EmbeddedStripe, EmbeddedValkey, SetupError


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="loquent-embedded-") as name:
        yield Path(name)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_postgres_keeps_committed_rows_through_a_kill(folder: Path) -> None:
    first = EmbeddedPostgres(folder / "postgres")
    running = first.open()
    second = EmbeddedPostgres(folder / "postgres")
    try:
        with psycopg.connect(running.url) as connection:
            connection.execute("create table kept (n integer)")
            connection.execute("insert into kept select generate_series(1, 1000)")
        psutil.Process(running.pid).kill()
        first.close()
        again = second.open()  # at once: the lock file and the orphans of the killed server are still there
        assert (again.port, again.url) == (running.port, running.url)
        with psycopg.connect(again.url) as connection:
            assert connection.execute("select count(*), max(n) from kept").fetchone() == (1000, 1000)
    finally:
        second.close()
        first.close()


def test_postgres_owner_is_no_superuser_and_only_passwords_open_it(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "postgres")
    running = server.open()
    try:
        with psycopg.connect(running.url) as connection:
            query = "select rolsuper, current_setting('fsync'), current_setting('listen_addresses') from pg_roles"
            row = connection.execute(f"{query} where rolname = current_user").fetchone()
            assert row == (False, "on", "127.0.0.1")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(f"postgresql://loquent:guess@127.0.0.1:{running.port}/loquent")
        for secret in ("owner.secret", "superuser.secret"):
            assert (folder / "postgres" / secret).stat().st_mode & 0o077 == 0
    finally:
        server.close()


def test_postgres_left_running_by_a_lost_owner_is_taken_over(folder: Path) -> None:
    lost = EmbeddedPostgres(folder / "postgres", durable=False)
    left = lost.open()
    successor = EmbeddedPostgres(folder / "postgres", durable=False)
    try:
        assert successor.open().pid != left.pid
        assert lost.child is not None
        assert lost.child.exit_code is not None
    finally:
        successor.close()
        lost.close()


def test_a_changed_password_file_is_named(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "postgres", durable=False)
    server.open()
    server.close()
    (folder / "postgres" / "superuser.secret").write_text("tampered")
    with pytest.raises(SetupError, match=r"superuser\.secret is not the database's"):
        server.open()
    server.close()


def test_valkey_keeps_written_keys_through_a_kill(folder: Path) -> None:
    first = EmbeddedValkey(folder / "valkey")
    running = first.open()
    second = EmbeddedValkey(folder / "valkey")
    try:
        with redis.Redis.from_url(running.url) as client:
            client.set("kept", "yes")
            assert client.execute_command("WAITAOF", 1, 0, 5000)[0] == 1
        psutil.Process(running.pid).kill()
        first.close()
        with redis.Redis.from_url(second.open().url) as client:
            assert client.get("kept") == b"yes"
    finally:
        second.close()
        first.close()


def test_valkey_wants_its_password(folder: Path) -> None:
    server = EmbeddedValkey(folder / "valkey")
    running = server.open()
    try:
        with redis.Redis(port=running.port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
    finally:
        server.close()


def test_a_taken_port_is_one_sentence(folder: Path, taken_port: int) -> None:
    sentence = rf"^Port {taken_port} for .+ is taken by another program; stop it or set .+\.$"
    for server in (
        EmbeddedPostgres(folder / "postgres", port=taken_port, durable=False),
        EmbeddedValkey(folder / "valkey", port=taken_port),
        EmbeddedStripe(folder / "stripe", port=taken_port),
    ):
        with pytest.raises(SetupError, match=sentence):
            server.open()
        assert server.child is None


def test_a_remembered_port_that_was_taken_meanwhile_is_replaced(folder: Path, taken_port: int) -> None:
    (folder / "valkey").mkdir()
    (folder / "valkey" / "port").write_text(str(taken_port))
    server = EmbeddedValkey(folder / "valkey")
    try:
        assert server.open().port != taken_port
    finally:
        server.close()


def test_the_stripe_double_keeps_its_customers(folder: Path) -> None:
    server = EmbeddedStripe(folder / "stripe", webhook_url="http://127.0.0.1:9/", webhook_secret="whsec_test")
    try:
        for expected in (1, 2):
            running = server.open()
            client = stripe.StripeClient("sk_test_loquent", base_addresses={"api": running.url})
            client.v1.customers.create({"email": "someone@example.com"})
            assert len(client.v1.customers.list().data) == expected
            server.close()
    finally:
        server.close()
