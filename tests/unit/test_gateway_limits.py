"""Small parts of the gateway: frame rate, socket counts, origins, file names, hashing slots, log-in hashing."""

from collections import Counter
from uuid import uuid4

import pytest
from starlette.datastructures import Headers
from starlette.types import Message

from deployments.gateway import frame_limit
from deployments.gateway.census import SocketCensus
from deployments.gateway.closing import CloseSocket
from deployments.gateway.frame_limit import BURST, MAX_REFUSALS, FrameLimit
from deployments.gateway.incoming import origin_allowed
from deployments.gateway.passwords import Passwords
from deployments.gateway.schema import PATH, render
from domain.errors import AppError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from domain.ids import TenantId
from domain.placement import slot_of
from pipelines.sources.naming import display_name


def test_frames_come_in_a_burst_and_then_at_their_rate() -> None:
    now = 0.0
    limit = FrameLimit(lambda: now)
    assert sum(limit.allow() for _ in range(100)) == BURST
    now = 1.0
    assert sum(limit.allow() for _ in range(100)) == frame_limit.PER_SECOND
    assert not limit.abused
    for _ in range(MAX_REFUSALS + 1):
        limit.allow()
    assert limit.abused


def test_the_census_gives_places_back() -> None:
    census, tenant = SocketCensus(2), TenantId(uuid4())
    census.enter()
    census.enter()
    with pytest.raises(Unavailable):
        census.enter()
    census.enter_tenant(tenant, 1)
    with pytest.raises(QuotaExceeded):
        census.enter_tenant(tenant, 1)
    census.enter_tenant(TenantId(uuid4()), 1)
    census.leave()
    assert census.total == 1
    census.enter()
    census.leave_tenant(tenant)
    census.enter_tenant(tenant, 1)


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (NotAuthenticated(), 4401, ""),
        (NotFound(), 4404, ""),
        (Unavailable(retry_after=2.1), 1013, "retry_after=3"),
        (QuotaExceeded(), 1013, "retry_after=5"),
    ],
)
async def test_a_close_says_when_to_come_back(error: AppError, code: int, reason: str) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await CloseSocket.because_of(error).send(send, 1)
    assert sent == [{"type": "websocket.close", "code": code, "reason": reason}]


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("https://chat.example", True),
        ("http://CHAT.example", True),
        ("https://shop.example", True),
        ("https://chat.example.evil.example", False),
        ("https://chat.example:8443", False),
        ("null", False),
        ("", False),
        ("https://[", False),
    ],
)
def test_origins(origin: str | None, allowed: bool) -> None:
    headers = Headers({"host": "chat.example", **({"origin": origin} if origin is not None else {})})
    assert origin_allowed(headers, ("https://shop.example",)) is allowed


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        (r"C:\docs\Bericht für Übung.docx", "Bericht für Übung.docx"),
        ("a\x00b\r\n.txt", "ab.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("", "document"),
        ("..", "document"),
        ("dir/", "document"),
    ],
)
def test_file_names_are_for_display(name: str, shown: str) -> None:
    assert display_name(name) == shown


def test_long_file_names_keep_their_extension() -> None:
    assert display_name("x" * 400 + ".pdf") == "x" * 251 + ".pdf"
    assert len(display_name("x" * 400)) == 255


def test_tenants_spread_over_slots_and_stay_when_one_is_added() -> None:
    tenants = [TenantId(uuid4()) for _ in range(2_000)]
    before = {tenant: slot_of(tenant, 4) for tenant in tenants}
    assert min(Counter(before.values()).values()) > 350
    after = {tenant: slot_of(tenant, 5) for tenant in tenants}
    moved = [tenant for tenant in tenants if before[tenant] != after[tenant]]
    assert all(after[tenant] == 4 for tenant in moved)
    assert len(moved) < 600


async def test_passwords_match_their_own_hash_only() -> None:
    passwords = Passwords()
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "wrong horse")
    assert not await passwords.verify(None, "nobody's password")
    assert not await passwords.verify("no hash", "correct horse")
    assert not passwords.is_outdated(stored)


def test_the_published_schema_is_the_one_of_the_wire_models() -> None:
    assert PATH.read_text("utf-8") == render(), "run `python -m deployments.gateway.schema`"
