import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from reqscope.service.encodings import Undecodable, decode, known_encodings

LIMIT = 1 << 20
TEXT = b'{"n":1}\n' * 1_000
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("encoding", PACK)
def test_what_was_packed_is_unpacked(encoding: str) -> None:
    assert encoding in known_encodings()
    for content in (b"", TEXT, bytes(LIMIT)):
        assert decode(PACK[encoding](content), encoding, LIMIT) == content


def test_zstd_without_its_size_at_the_beginning_is_unpacked_too() -> None:
    stream = zstandard.ZstdCompressor().compressobj()

    assert decode(stream.compress(TEXT) + stream.flush(), "zstd", LIMIT) == TEXT


@pytest.mark.guarantees("66")
@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda packed: packed[:-1], "cut short"),
        (lambda packed: packed[: len(packed) // 2], "cut short"),
        (lambda packed: b"", "cut short"),
        (lambda packed: packed + b"more", "something follows"),
        (lambda packed: packed + packed, "something follows"),
        (lambda packed: TEXT, "is not"),
    ],
    ids=["no end", "half", "empty", "followed", "twice", "plain"],
)
def test_what_is_not_whole_is_refused(encoding: str, change: Callable[[bytes], bytes], words: str) -> None:
    with pytest.raises(Undecodable, match=words) as refused:
        decode(change(PACK[encoding](TEXT)), encoding, LIMIT)

    assert refused.value.status == 400


@pytest.mark.guarantees("66")
@pytest.mark.parametrize("encoding", PACK)
def test_a_bomb_is_refused_before_it_takes_much_memory(encoding: str) -> None:
    bomb = PACK[encoding](bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(Undecodable, match=f"larger than {LIMIT} bytes") as refused:
            decode(bomb, encoding, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 8 * LIMIT
    finally:
        tracemalloc.stop()

    assert refused.value.status == 413


@pytest.mark.guarantees("66")
def test_a_window_that_is_too_large_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    with pytest.raises(Undecodable, match="zstd"):
        decode(stream.compress(TEXT) + stream.flush(), "zstd", LIMIT)


def test_without_its_package_zstd_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)

    with pytest.raises(Undecodable, match="reqscope\\[zstd\\]") as refused:
        decode(b"", "zstd", LIMIT)

    assert refused.value.status == 415
    assert known_encodings() == ("gzip", "deflate")
