"""Headers as capture keeps them: one bytes object, which is made, kept and dropped in no time."""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from reqscope.bus.event import PER_HEADER, Headers

_parts: Final = chain.from_iterable


def pack(headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, int]:
    """Return names and values in turn, one a line, and the bytes that the headers take once they are unpacked.

    One object instead of three for each header: less to allocate, to evict cold from the ring, and to free. A line
    feed in a header, which no server lets through, becomes a space.

    :param headers: a list or a tuple; anything else might be there to be read only once, by the server
    :raises TypeError: they are not pairs of bytes, or not in a list or tuple
    :raises ValueError: they are not pairs
    """
    kind, count = type(headers), len(headers)
    if kind is not list and kind is not tuple:
        raise TypeError(f"headers in a {kind.__name__} are not read")
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
