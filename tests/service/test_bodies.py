import gzip
import zlib
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.service.bodies import MARGIN, Chunks, unpack

TEXT = b'{"name": "Ada", "items": [1, 2, 3]}'


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 1_000))
def test_the_beginning_of_a_body_is_kept_up_to_the_cap_and_a_margin(parts: list[bytes], cap: int) -> None:
    chunks = Chunks(cap)
    for part in parts:
        chunks.add(part)

    assert chunks.join() == b"".join(parts)[: cap + MARGIN]
    assert len(chunks) == len(chunks.join())
    assert all(chunks.parts)


def test_a_chunk_is_kept_as_it_is_unless_it_could_change_or_is_far_too_large() -> None:
    chunks, whole, changing, large = Chunks(1_000), b"a" * 10, bytearray(b"b" * 10), b"c" * 100_000
    for chunk in (whole, changing, large):
        chunks.add(cast(bytes, chunk))
    changing[:] = b"-" * 10

    assert chunks.parts[0] is whole
    assert [type(part) for part in chunks.parts] == [bytes] * 3
    assert chunks.join() == b"a" * 10 + b"b" * 10 + b"c" * (1_000 + MARGIN - 20)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        (b"", TEXT),
        (b"identity", TEXT),
        (b"gzip", gzip.compress(TEXT)),
        (b" GZip ", gzip.compress(TEXT)),
        (b"x-gzip", gzip.compress(TEXT)),
        (b"deflate", zlib.compress(TEXT)),
        (b"deflate", raw_deflate(TEXT)),
    ],
)
def test_what_was_packed_in_a_known_way_is_unpacked_and_whole(encoding: bytes, packed: bytes) -> None:
    assert unpack(packed, encoding, 10_000) == (TEXT, True)


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_of_what_is_cut_short_as_much_as_there_is_is_unpacked(encoding: bytes) -> None:
    text = b"".join(b"%d," % number for number in range(5_000))
    packed = (gzip.compress if encoding == b"gzip" else zlib.compress)(text)[:5_000]

    unpacked = unpack(packed, encoding, 1 << 20)
    assert unpacked is not None
    content, complete = unpacked
    assert not complete
    assert len(content) > 1_000
    assert text.startswith(content)


@pytest.mark.guarantees("66")
def test_what_unpacks_to_gigabytes_is_unpacked_to_the_limit() -> None:
    assert unpack(gzip.compress(bytes(10_000_000)), b"gzip", 1_000) == (bytes(1_000), False)


def test_what_follows_the_end_is_not_taken_for_nothing() -> None:
    assert unpack(gzip.compress(TEXT) + gzip.compress(b"more"), b"gzip", 10_000) == (TEXT, False)


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip", b"rot13"])
def test_what_was_packed_in_another_way_is_not_unpacked(encoding: bytes) -> None:
    assert unpack(TEXT, encoding, 10_000) is None


@pytest.mark.guarantees("66")
@given(st.binary(max_size=200), st.sampled_from([b"gzip", b"deflate", b"x-gzip"]), st.integers(1, 100))
def test_anything_at_all_is_unpacked_or_not_and_never_to_more_than_the_limit(
    data: bytes, encoding: bytes, limit: int
) -> None:
    unpacked = unpack(data, encoding, limit)

    assert unpacked is None or len(unpacked[0]) <= limit
