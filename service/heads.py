"""Headers as capture keeps them: one bytes object, which is made, kept and dropped in no time."""

from collections.abc import Collection, Iterator
from itertools import chain
from typing import Final

from reqscope.bus.event import PER_HEADER, Headers

_parts: Final = chain.from_iterable
_PAIRS: Final = frozenset((tuple, list))


def pack(headers: Collection[tuple[bytes, bytes]]) -> tuple[bytes, int]:
    """Return names and values in turn, one a line, and the bytes that the headers take once they are unpacked.

    One object instead of three for each header: less to allocate, to evict cold from the ring, and to free. A line
    feed in a header, which no server lets through, becomes a space.

    :param headers: those in an iterator are left for the server, which alone can read them: then there are none
    :raises TypeError: they are not pairs of bytes
    :raises ValueError: they are not pairs
    """
    kind = type(headers)
    if kind is not list and kind is not tuple:
        if isinstance(headers, Iterator):
            return b"", 0
        return pack(list(headers))
    if not _PAIRS.issuperset(map(type, headers)):  # a pair that can be read only once is the server's to read
        raise TypeError("headers that are not pairs in tuples or lists are not read")
    count = len(headers)
    head = b"\n".join(_parts(headers))
    if head.count(b"\n") != 2 * count - 1 and count:
        pairs = [(bytes(name), bytes(value)) for name, value in headers]
        head = b"\n".join([part.replace(b"\n", b" ") for part in _parts(pairs)])
    return head, len(head) + PER_HEADER * count


def unpack(head: bytes) -> Headers:
    """Return the headers that `pack` was given."""
    if not head:
        return ()
    texts = iter(head.split(b"\n"))
    return tuple(zip(texts, texts, strict=True))
