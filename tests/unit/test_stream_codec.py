"""The frames of streams: any plain data survives any cutting of the bytes, and garbage is refused."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.streams.codec import BATCH_ITEMS, HEADER, BadFrame, Batch, Decoder, Kind, frame, pack
from actors.streams.handshake import client_proof, fields, new_nonce, server_proof

LIMIT = 1 << 20
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


def decode_all(decoder: Decoder) -> list[tuple[int, int, Any]]:
    found = []
    while (one := decoder.next()) is not None:
        found.append(one)
    return found


def batch_frame(stream: int, items: Sequence[Any]) -> bytes:
    batch = Batch()
    for item in items:
        batch.add(pack(item))
    return batch.frame(stream)


@given(
    frames=st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 2**32 - 1), plain), max_size=5),
    cut=st.integers(1, 40),
)
def test_frames_survive_any_cutting(frames: list[tuple[Kind, int, Any]], cut: int) -> None:
    data = b"".join(frame(kind, stream, pack(body)) for kind, stream, body in frames)
    decoder = Decoder(LIMIT)
    found: list[tuple[int, int, Any]] = []
    for start in range(0, len(data), cut):
        decoder.feed(data[start : start + cut])
        found += decode_all(decoder)
    assert found == frames


@given(items=st.lists(plain, min_size=1, max_size=20))
def test_a_batch_is_the_list_of_its_items(items: list[Any]) -> None:
    decoder = Decoder(LIMIT)
    decoder.feed(batch_frame(7, items))
    assert decode_all(decoder) == [(Kind.ITEMS, 7, items)]


@pytest.mark.parametrize("count", [1, 15, 16, 255, 256, BATCH_ITEMS])
def test_a_batch_of_every_header_size(count: int) -> None:
    decoder = Decoder(LIMIT)
    decoder.feed(batch_frame(1, range(count)))
    assert decode_all(decoder) == [(Kind.ITEMS, 1, list(range(count)))]


def test_a_batch_has_bounds() -> None:
    batch = Batch()
    assert batch.fits(b"x" * 95, 100)
    assert not batch.fits(b"x" * 96, 100)
    for _ in range(BATCH_ITEMS):
        assert batch.fits(b"\xc0", LIMIT)
        batch.add(b"\xc0")
    assert not batch.fits(b"\xc0", LIMIT)


def test_a_body_is_empty_or_whole() -> None:
    decoder = Decoder(LIMIT)
    decoder.feed(frame(Kind.END, 3) + frame(Kind.PING, 0)[:-1])
    assert decode_all(decoder) == [(Kind.END, 3, None)]


def test_an_oversize_frame_is_refused_before_its_body_arrives() -> None:
    decoder = Decoder(100)
    decoder.feed(HEADER.pack(101, Kind.HELLO, 0))
    with pytest.raises(BadFrame, match="101 bytes"):
        decoder.next()


@given(body=st.binary(min_size=1, max_size=64))
def test_a_garbage_body_is_data_or_a_bad_frame(body: bytes) -> None:
    decoder = Decoder(LIMIT)
    decoder.feed(frame(Kind.OPEN, 1, body))
    with suppress(BadFrame):
        assert decoder.next() is not None


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",  # never used by msgpack
        b"\x93\x01",  # shorter than it says
        b"\x01\x01",  # longer than it says
        b"\xa2\xff\xfe",  # not UTF-8
        b"\x81\x90\x01",  # a list as a key
        b"\x91" * 100_000,  # deep nesting
        b"\xdd\xff\xff\xff\xff",  # a list of four billion
    ],
)
def test_hostile_bodies_are_bad_frames(body: bytes) -> None:
    decoder = Decoder(LIMIT)
    decoder.feed(frame(Kind.OPEN, 1, body))
    with pytest.raises(BadFrame):
        decoder.next()


@pytest.mark.parametrize("value", [object(), {1, 2}, 2**64, "\ud800"])
def test_only_plain_data_is_packed(value: Any) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        pack(value)


def test_the_proofs_depend_on_secret_side_and_both_nonces() -> None:
    first, second = new_nonce(), new_nonce()
    proofs = {
        client_proof(b"a", first, second),
        client_proof(b"b", first, second),
        client_proof(b"a", second, first),
        server_proof(b"a", first, second),
        server_proof(b"a", second, first),
    }
    assert len(proofs) == 5


@pytest.mark.parametrize("body", [None, 1, "x", [], [b"short"], ["x" * 32], [b"x" * 32, b"y" * 32], {"a": b"x" * 32}])
def test_a_malformed_hello_is_a_bad_frame(body: Any) -> None:
    with pytest.raises(BadFrame):
        fields(msgpack.unpackb(pack(body)), 1)
