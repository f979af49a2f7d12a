"""Captured bodies: as many chunks as fit are kept by reference, and made readable when somebody looks."""

import zlib
from typing import Final

MARGIN: Final = 256
"""Bytes kept beyond the cap, and cut off again once masked: a secret that the cap cuts in two is seen whole."""

_WINDOW: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


class Chunks:
    """The beginning of a body, in the chunks it came in.

    :param cap: bytes to keep, beside a margin
    """

    __slots__ = ("_left", "parts")

    def __init__(self, cap: int) -> None:
        self._left = cap + MARGIN
        self.parts: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Keep `chunk`, or as much of it as there is room for."""
        if self._left > 0 and chunk:
            # A reference, unless it could change later, or would keep far more alive than is wanted.
            part = chunk if type(chunk) is bytes and len(chunk) <= self._left else bytes(chunk[: self._left])
            self._left -= len(part)
            self.parts.append(part)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def join(self) -> bytes:
        """Return what was kept."""
        return b"".join(self.parts)


def unpack(data: bytes, encoding: bytes, limit: int) -> tuple[bytes, bool] | None:
    """Undo a `Content-Encoding`, as far as `data` goes and at most `limit` bytes.

    :return: the content, and whether that is all of it; None where it cannot be unpacked
    """
    encoding = encoding.strip().lower()
    if encoding in (b"", b"identity"):
        return data, True
    if encoding not in _WINDOW:
        return None
    return _inflate(data, _WINDOW[encoding], limit) or (
        _inflate(data, -15, limit) if encoding == b"deflate" else None  # many send it without the zlib header
    )


def _inflate(data: bytes, window: int, limit: int) -> tuple[bytes, bool] | None:
    inflater = zlib.decompressobj(window)
    try:
        content = inflater.decompress(data, limit)
    except zlib.error:
        return None
    return content, inflater.eof and not inflater.unused_data
