"""Sealed values: they open where they were sealed, with the key they were sealed with, and nowhere else."""

import pickle
from itertools import combinations
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import Erased, Unavailable, Unreadable
from domain.ids import DocumentId, MessageId, SessionId, TenantId, TurnId
from domain.sealing import (
    StoredKey,
    WrappedKey,
    answer_place,
    citation_place,
    comment_place,
    events_place,
    file_place,
    message_place,
    title_place,
)
from storage.keys import DocumentKeys, LocalMasterKeys, TenantCipher, Vault, new_master_key, parse_master_keys
from storage.keys.document_keys import MAGIC
from storage.keys.sealed_value import FORMAT, OVERHEAD_BYTES, seal, unseal

TENANT, OTHER = TenantId(UUID(int=1)), TenantId(UUID(int=2))
SESSION, MESSAGE = SessionId(UUID(int=3)), MessageId(UUID(int=4))
PLACE = message_place(SESSION, MESSAGE)
KEYS = {1: b"\x01" * 32, 2: b"\x02" * 32}
CIPHER = TenantCipher(TENANT, KEYS)
TEXTS = ["", "How long?", "Straße 🦓 \u202e \x00", "x" * 16_000]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_sealed_opens_and_never_looks_the_same(text: str) -> None:
    first, second = CIPHER.seal_text(PLACE, text), CIPHER.seal_text(PLACE, text)
    assert first != second
    assert CIPHER.open_text(PLACE, first) == CIPHER.open_text(PLACE, second) == text
    assert len(first) == len(text.encode()) + OVERHEAD_BYTES
    assert (first[0], first[1:5]) == (FORMAT, b"\x00\x00\x00\x02")


def test_the_form_is_the_documented_one() -> None:
    """Opened by hand, as docs/encryption.md says."""
    sealed = CIPHER.seal_text(PLACE, "How long?")
    associated = sealed[:5] + f"loquent-sealed|{TENANT}|message|{SESSION}|{MESSAGE}".encode()
    assert AESGCM(KEYS[2]).decrypt(sealed[5:17], sealed[17:], associated) == b"How long?"


def test_no_two_places_are_the_same() -> None:
    same, turn, document = UUID(int=9), TurnId(UUID(int=9)), DocumentId(UUID(int=9))
    session, message = SessionId(same), MessageId(same)
    places = [
        message_place(session, message),
        citation_place(session, message, 1),
        citation_place(session, message, 11),
        title_place(session),
        comment_place(message),
        events_place(turn, 1, "1-0"),
        events_place(turn, 11, "1-0"),
        answer_place(str(same)),
        file_place(document, "original"),
        file_place(document, "parsed.json"),
    ]
    for one, another in combinations(places, 2):
        with pytest.raises(Unreadable):
            CIPHER.open(another, CIPHER.seal(one, b"x"))


def test_a_value_that_was_moved_does_not_open() -> None:
    sealed = CIPHER.seal_text(PLACE, "How long?")
    elsewhere = [
        message_place(SESSION, MessageId(UUID(int=5))),
        message_place(SessionId(UUID(int=5)), MESSAGE),
        title_place(SESSION),
    ]
    for place in elsewhere:
        with pytest.raises(Unreadable):
            CIPHER.open(place, sealed)
    # The same keys under another tenant's name: only the associated data tells them apart.
    with pytest.raises(Unreadable):
        TenantCipher(OTHER, KEYS).open(PLACE, sealed)
    with pytest.raises(Unreadable):
        TenantCipher(TENANT, {2: b"\x03" * 32}).open(PLACE, sealed)


def test_no_byte_may_change() -> None:
    sealed = CIPHER.seal_text(PLACE, "How long?")
    for position in range(len(sealed)):
        for flip in (0x01, 0x80):
            tampered = bytearray(sealed)
            tampered[position] ^= flip
            with pytest.raises(Unreadable):
                CIPHER.open(PLACE, bytes(tampered))


def test_nothing_may_be_cut_off_or_added() -> None:
    sealed = CIPHER.seal_text(PLACE, "How long?")
    for length in range(len(sealed)):
        with pytest.raises(Unreadable):
            CIPHER.open(PLACE, sealed[:length])
    for other in (sealed + b"\x00", b"\x00" + sealed, b"", bytes(200), b"How long?" * 9):
        with pytest.raises(Unreadable):
            CIPHER.open(PLACE, other)


def test_versions_cannot_be_exchanged() -> None:
    old = TenantCipher(TENANT, {1: KEYS[1]}).seal_text(PLACE, "x")
    assert CIPHER.open_text(PLACE, old) == "x"
    renamed = old[:1] + (2).to_bytes(4, "big") + old[5:]
    unknown = old[:1] + (7).to_bytes(4, "big") + old[5:]
    for value in (renamed, unknown):
        with pytest.raises(Unreadable):
            CIPHER.open(PLACE, value)
    # Both versions with one key: the version itself is authenticated.
    twins = {1: AESGCM(KEYS[1]), 2: AESGCM(KEYS[1])}
    value = seal(twins[1], 1, TENANT, PLACE, b"x")
    with pytest.raises(Unreadable):
        unseal(twins, TENANT, PLACE, value[:1] + (2).to_bytes(4, "big") + value[5:])


def test_a_new_version_waits_until_everybody_knows_it() -> None:
    clock = Clock()
    cipher = TenantCipher(TENANT, KEYS, {2: 360.0}, clock)
    assert cipher.version == 1
    assert cipher.open_text(PLACE, CIPHER.seal_text(PLACE, "from tomorrow")) == "from tomorrow"
    clock.now += 359.9
    assert cipher.version == 1
    clock.now += 0.1
    assert cipher.version == 2


def test_keys_of_a_document_open_its_files_only() -> None:
    document, other = DocumentId(uuid4()), DocumentId(uuid4())
    keys = CIPHER.for_document(document)
    sealed = keys.seal("original", b"The warranty is twelve months.")
    travelled = DocumentKeys.loads(TENANT, str(document), keys.dumps())
    assert travelled.open("original", sealed) == b"The warranty is twelve months."
    assert pickle.loads(pickle.dumps(keys)) == keys
    for wrong, name in (
        (keys, "parsed.json"),
        (CIPHER.for_document(other), "original"),
        (TenantCipher(OTHER, KEYS).for_document(document), "original"),
    ):
        with pytest.raises(Unreadable):
            wrong.open(name, sealed)
    # The same keys under another document's name.
    with pytest.raises(Unreadable):
        DocumentKeys.loads(TENANT, other, keys.dumps()).open("original", sealed)
    for cut in (b"", MAGIC, sealed[:-1], sealed[len(MAGIC) :] + b"x", b"The warranty is twelve months."):
        with pytest.raises(Unreadable):
            keys.open("original", cut)


def test_files_of_earlier_days_open_only_where_they_may() -> None:
    keys = CIPHER.for_document(DocumentId(uuid4()))
    assert keys.open("original", b"%PDF-1.7", clear_too=True) == b"%PDF-1.7"
    assert keys.open("original", keys.seal("original", b"x"), clear_too=True) == b"x"
    with pytest.raises(Unreadable):
        keys.open("original", b"%PDF-1.7")


def test_no_key_is_shown() -> None:
    master = new_master_key()
    secret = master.partition(":")[2]
    keys = CIPHER.for_document(DocumentId(uuid4()))
    shown = [
        repr(CIPHER),
        repr(keys),
        repr(LocalMasterKeys(parse_master_keys(master))),
        repr(StoredKey(1, WrappedKey("k", b"\x05" * 40), 0.0)),
    ]
    for key in (secret, KEYS[1].hex(), repr(KEYS[1]), keys.keys[1].hex(), repr(keys.keys[1]), repr(b"\x05" * 40)):
        assert not [text for text in shown if key.strip("b'") in text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a:",
        f"a:{'5' * 63}",
        f"a:{'5' * 65}",
        f"a:{'g' * 64}",
        f":{'5' * 64}",
        f"A b:{'5' * 64}",
        f"a:{'5' * 64},",
        f"a:{'5' * 64},a:{'6' * 64}",
        f"a:{'5' * 64},b:{'5' * 64}",
        f"a:{'5' * 64};b:{'6' * 64}",
    ],
)
def test_master_keys_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="master key") as caught:
        parse_master_keys(text)
    assert "5555" not in str(caught.value)


async def test_a_wrapped_key_opens_for_its_tenant_and_version() -> None:
    text = f"{new_master_key()}, {new_master_key()}"
    keys = parse_master_keys(text)
    newest, older = keys
    master = LocalMasterKeys(keys)
    wrapped = await master.wrap(TENANT, 1, KEYS[1])
    assert wrapped.master_key_id == master.newest == newest
    assert KEYS[1] not in wrapped.wrapped
    assert await master.unwrap(TENANT, 1, wrapped) == KEYS[1]
    old = await LocalMasterKeys({older: keys[older]}).wrap(TENANT, 1, KEYS[1])
    assert await master.unwrap(TENANT, 1, old) == KEYS[1]
    for tenant, version, value in (
        (OTHER, 1, wrapped),
        (TENANT, 2, wrapped),
        (TENANT, 1, WrappedKey(older, wrapped.wrapped)),
        (TENANT, 1, WrappedKey(newest, wrapped.wrapped[:-1])),
        (TENANT, 1, WrappedKey(newest, b"")),
        (TENANT, 1, WrappedKey(newest, wrapped.wrapped[:11] + b"\x00" + wrapped.wrapped[12:])),
    ):
        with pytest.raises(Unreadable):
            await master.unwrap(tenant, version, value)
    with pytest.raises(Unavailable):
        await master.unwrap(TENANT, 1, WrappedKey("key-of-yesterday", wrapped.wrapped))
    with pytest.raises(ValueError, match="master_keys"):
        LocalMasterKeys({})


async def test_the_vault_remembers_for_a_while_and_not_everybody() -> None:
    clock = Clock()
    vault = Vault(LocalMasterKeys(parse_master_keys(new_master_key())), seconds=300, capacity=2, clock=clock)
    ciphers = [TenantCipher(TenantId(UUID(int=number)), {1: bytes(32)}) for number in range(3)]
    assert vault.remembered(ciphers[0].tenant_id) is None
    for cipher in ciphers[:2]:
        vault.remember(cipher)
    assert vault.remembered(ciphers[0].tenant_id) is ciphers[0]
    vault.remember(ciphers[2])
    assert vault.remembered(ciphers[1].tenant_id) is None, "the one that was not used for longest goes"
    assert vault.remembered(ciphers[0].tenant_id) is ciphers[0]
    clock.now += 300
    assert vault.remembered(ciphers[0].tenant_id) is None
    vault.forget(ciphers[2].tenant_id)
    vault.forget(ciphers[2].tenant_id)
    assert vault.remembered(ciphers[2].tenant_id) is None


async def test_a_shredded_key_is_no_key() -> None:
    vault = Vault(LocalMasterKeys(parse_master_keys(new_master_key())))
    wrapped = await vault.new_key(TENANT, 1)
    assert (await vault.unwrap(TENANT, [StoredKey(1, wrapped, 0.0)])).versions == [1]
    with pytest.raises(Erased):
        await vault.unwrap(TENANT, [StoredKey(1, wrapped, 0.0), StoredKey(2, None, 0.0)])
