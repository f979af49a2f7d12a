"""What a request's head must be like, whatever the parser let pass. It is looked at before the application begins."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_HOST: Final = re.compile(rb"[\w.:%\[\]-]*")
_REMEMBERED: Final = 16
"""Names of hosts that were good: most requests name the same one. They may be as long as a head, so not many."""

_PER_HEADER: Final = 4
"""Bytes between names and values: a colon, a space and a line's end."""


class BadHead(Exception):
    """A request that is refused for its head.

    :ivar status: the HTTP status that says so
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def check_head(
    most: int, most_headers: int, version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]], came: int
) -> None:
    """Refuse a head that is too large, or that two programs could read in two ways (RFC 9112, sections 3 and 6).

    :param most: bytes of target and headers
    :param most_headers: how many there may be
    :param headers: in the order they came, with names in lower case
    :param came: as many bytes as the head has, or more
    :raises BadHead: saying what is wrong
    """
    amount = len(headers)
    if came + _PER_HEADER * amount > most or amount > most_headers:  # else no sum is needed to know that it is not
        _check_size(most, most_headers, target, headers)
    if version not in ("1.1", "1.0"):
        raise BadHead(400, "this is not HTTP/1.1")
    host: bytes | None = None
    lengths: list[bytes] = []
    encodings: list[bytes] = []
    for name, value in headers:
        if name == b"host":
            if host is not None:
                raise BadHead(400, "there must be one Host header")
            host = value
        elif name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            encodings.append(value)
    _check_host(version, host)
    if not target.startswith(b"/"):
        _check_target(target, host)
    if lengths or encodings:
        _check_framing(version, lengths, encodings)


def _check_size(most: int, most_headers: int, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    if len(target) >= most:
        raise BadHead(414, f"the address is longer than {most} bytes")
    if len(headers) > most_headers:
        raise BadHead(431, f"there are more than {most_headers} headers")
    if len(target) + sum([len(name) + len(value) + _PER_HEADER for name, value in headers]) > most:
        raise BadHead(431, f"the headers are larger than {most} bytes")


def _check_host(version: str, host: bytes | None) -> None:
    if host is None:
        if version != "1.0":
            raise BadHead(400, "there must be one Host header")
    elif not _is_host(host):
        raise BadHead(400, "the Host header is not the name of a host")


@lru_cache(_REMEMBERED)
def _is_host(name: bytes) -> bool:
    return _HOST.fullmatch(name) is not None


def _check_target(target: bytes, host: bytes | None) -> None:
    if target == b"*":
        return
    # A server has to take whole addresses, which are for proxies (RFC 9112, section 3.2.2), but not of another host.
    scheme, _, rest = target.partition(b"://")
    named = re.split(rb"[/?]", rest)[0].lower() if scheme.lower() in (b"http", b"https") else None
    if host is None or named != host.lower():
        raise BadHead(400, "the address must begin with a slash")


def _check_framing(version: str, lengths: list[bytes], encodings: list[bytes]) -> None:
    if encodings and (lengths or version == "1.0"):
        raise BadHead(400, "Transfer-Encoding stands beside Content-Length, or in HTTP/1.0")
    if len(lengths) > 1 or (lengths and not lengths[0].isdigit()):
        raise BadHead(400, "Content-Length must be one number")
    if encodings and [encoding.lower() for encoding in encodings] != [b"chunked"]:
        raise BadHead(501, "the only Transfer-Encoding here is chunked")
