"""How much and how long a client may send, and what a request's head must be like."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from .settings import Settings

_HOST: Final = re.compile(rb"[\w.:%\[\]-]*")
_CHECKED: Final = frozenset((b"host", b"content-length", b"transfer-encoding"))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server lets a client do. None stands for no limit."""

    head: int = 64 << 10
    """Bytes of the request line and the headers."""
    headers: int = 100
    head_time: float = 10.0
    """Seconds until the head is whole."""
    body_time: float | None = 60.0
    """Seconds until the body is whole, without those in which the application does not read or the server parses."""
    send_time: float | None = 30.0
    """Seconds in which a client takes nothing of what waits for it."""
    connections: int | None = 1_000
    refused: Counter[int] = field(default_factory=Counter[int])
    """How many requests were refused before the application saw them, by status."""


class BadHead(Exception):
    """A request that is refused for its head.

    :ivar status: the HTTP status that says so
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def strict_limits(settings: Settings) -> Limits:
    """Return the limits of a server that runs nothing but Reqscope."""
    return _limits(settings, 60.0, 30.0, 1_000)


def open_limits(settings: Settings) -> Limits:
    """Return the limits of a server that runs an application of the user's.

    How large a body is, how long it takes and who stays connected is the application's business, unless `settings`
    name a limit. What no application ever sees, an endless head, is bounded here too.
    """
    return _limits(settings, None, None, None)


def _limits(settings: Settings, body: float | None, send: float | None, connections: int | None) -> Limits:
    return Limits(
        head=settings.max_header_bytes,
        headers=settings.max_headers,
        head_time=settings.header_timeout,
        body_time=settings.body_timeout or body,
        send_time=settings.send_timeout or send,
        connections=settings.max_connections or connections,
    )


def check_head(limits: Limits, version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse a head that is too large, or that two programs could read in two ways (RFC 9112, sections 3 and 6).

    :param headers: in the order they came, with names in lower case
    :raises BadHead: saying what is wrong
    """
    if len(target) >= limits.head:
        raise BadHead(414, f"the address is longer than {limits.head} bytes")
    if len(headers) > limits.headers:
        raise BadHead(431, f"there are more than {limits.headers} headers")
    if len(target) + sum([len(name) + len(value) + 4 for name, value in headers]) > limits.head:
        raise BadHead(431, f"the headers are larger than {limits.head} bytes")
    if version not in ("1.0", "1.1"):
        raise BadHead(400, "this is not HTTP/1.1")
    checked = [pair for pair in headers if pair[0] in _CHECKED]
    hosts = [value for name, value in checked if name == b"host"]
    _check_host(version, hosts)
    _check_target(target, hosts)
    if len(checked) > len(hosts):
        lengths = [value for name, value in checked if name == b"content-length"]
        encodings = [value for name, value in checked if name == b"transfer-encoding"]
        _check_framing(version, lengths, encodings)


def _check_host(version: str, hosts: list[bytes]) -> None:
    if len(hosts) > 1 or (not hosts and version != "1.0"):
        raise BadHead(400, "there must be one Host header")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise BadHead(400, "the Host header is not the name of a host")


def _check_target(target: bytes, hosts: list[bytes]) -> None:
    if target.startswith(b"/") or target == b"*":
        return
    # A server has to take whole addresses, which are for proxies (RFC 9112, section 3.2.2), but not of another host.
    scheme, _, rest = target.partition(b"://")
    whole = scheme.lower() in (b"http", b"https") and hosts and re.split(rb"[/?]", rest)[0].lower() == hosts[0].lower()
    if not whole:
        raise BadHead(400, "the address must begin with a slash")


def _check_framing(version: str, lengths: list[bytes], encodings: list[bytes]) -> None:
    if encodings and (lengths or version == "1.0"):
        raise BadHead(400, "Transfer-Encoding stands beside Content-Length, or in HTTP/1.0")
    if len(lengths) > 1 or (lengths and not lengths[0].isdigit()):
        raise BadHead(400, "Content-Length must be one number")
    if encodings and [encoding.lower() for encoding in encodings] != [b"chunked"]:
        raise BadHead(501, "the only Transfer-Encoding here is chunked")
