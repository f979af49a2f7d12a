"""Bodies that were compressed on their way: unpacked as a whole, or refused before they take much memory."""

import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Final


class Undecodable(Exception):
    """A body that cannot be unpacked.

    :ivar status: the HTTP status that says so
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


_GZIP: Final = 31
_ZLIB: Final = 15
_LARGEST_WINDOW: Final = 8 << 20
"""What every reader of zstd should have room for, says RFC 9659."""
_SLICE: Final = 1 << 16


def decode(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo a `Content-Encoding` of `known_encodings`. May take a while: not for the event loop.

    :param limit: bytes that the content may have
    :raises Undecodable: it has more, is not what it is said to be, is cut short, or something follows it
    """
    if encoding not in _DECODERS:
        raise Undecodable(415, "send the body as it is, or with Content-Encoding: " + " or ".join(known_encodings()))
    content, complete = _DECODERS[encoding](body, limit)
    if len(content) > limit:
        raise Undecodable(413, f"the body is larger than {limit} bytes when unpacked")
    if not complete:
        raise Undecodable(400, f"the {encoding} data is cut short, or something follows it")
    return content


def known_encodings() -> tuple[str, ...]:
    """Return what can be unpacked here: zstd only with the extra of that name."""
    try:
        import_module("zstandard")
    except ImportError:
        return ("gzip", "deflate")
    return ("gzip", "deflate", "zstd")


def _gunzip(body: bytes, limit: int) -> tuple[bytes, bool]:
    return _inflate(body, limit, _GZIP, "gzip")


def _undeflate(body: bytes, limit: int) -> tuple[bytes, bool]:
    return _inflate(body, limit, _ZLIB, "deflate, which is zlib's format (RFC 9110)")


def _inflate(body: bytes, limit: int, window: int, name: str) -> tuple[bytes, bool]:
    inflater = zlib.decompressobj(window)
    try:
        content = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise _not_as_said(name) from None
    return content, inflater.eof and not inflater.unused_data


def _unzstd(body: bytes, limit: int) -> tuple[bytes, bool]:
    try:
        import zstandard
    except ImportError:
        raise Undecodable(
            415, "zstd cannot be read here until the extra is installed: pip install 'reqscope[zstd]'; or send gzip"
        ) from None
    decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    try:
        # The reader can stop at a size, but takes a torn end for the end. The second time tells these apart.
        content = decompressor.stream_reader(body, read_size=_SLICE).read(limit + 1)
        if len(content) > limit:
            return content, False
        whole = decompressor.decompressobj()
        whole.decompress(body)
    except zstandard.ZstdError:
        raise _not_as_said("zstd") from None
    return content, whole.eof and not whole.unused_data


def _not_as_said(name: str) -> Undecodable:
    return Undecodable(400, f"the body is not {name}, although Content-Encoding says so")


_DECODERS: Final[dict[str, Callable[[bytes, int], tuple[bytes, bool]]]] = {
    "gzip": _gunzip,
    "deflate": _undeflate,
    "zstd": _unzstd,
}
