"""Headers as capture keeps them: one bytes object, which is made, kept and dropped in no time."""

from collections.abc import Collection, Iterator
from typing import Final, TypeAlias

import msgspec

from reqscope.bus.event import PER_HEADER, Headers

Pairs: TypeAlias = Collection[tuple[bytes, bytes]]

encode: Final = msgspec.msgpack.Encoder().encode
"""`pack`, for headers that are in a list or a tuple."""

_decode: Final = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...]).decode

BESIDE: Final = PER_HEADER - 5
"""Bytes that a header takes unpacked beyond those that it takes packed, which needs five beside the text."""


def pack(headers: Pairs) -> bytes:
    """Return what `unpack` makes headers of again.

    One object instead of three for each header: less to allocate, to evict cold from the ring, to free, and nothing
    for the garbage collector to look at. Whether these are pairs of bytes is left for `unpack` to see.

    :raises TypeError: they are not in a collection, or hold what can be read only once, which is the server's to read
    """
    return encode(listed(headers))


def listed(headers: Pairs) -> Pairs:
    """Return headers in a list or a tuple: none where they come from an iterator, which the server alone can read.

    :raises TypeError: they are not in a collection
    """
    if type(headers) is list or type(headers) is tuple:
        return headers
    return () if isinstance(headers, Iterator) else list(headers)


def unpack(head: bytes) -> Headers:
    """Return the headers that `pack` was given.

    :raises msgspec.ValidationError: they are not pairs of bytes
    """
    return _decode(head) if head else ()


def peek(head: bytes) -> dict[bytes, bytes]:
    """Return the headers that `pack` was given by name, the last of each: for a cheap look at a few.

    :raises msgspec.ValidationError: they are not pairs of bytes
    """
    return dict(unpack(head))
