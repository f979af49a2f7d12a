"""The record that travels: one captured exchange, or one record that another program sent."""

from itertools import chain
from typing import Final, Literal, TypeAlias

import msgspec

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Name and value pairs in wire order, duplicates kept, secrets already masked."""

Kind: TypeAlias = Literal["request", "log", "record"]
"""How the event came in: captured around an app, posted to `/log`, or one of a batch posted to `/events`."""

OVERHEAD: Final = 640
"""Bytes that an event holds beside its headers and body: the record, its numbers and its short strings."""

_PER_HEADER: Final = 130
"""Bytes that a header takes beside its text: a pair and two bytes objects."""


class Event(msgspec.Struct, kw_only=True, gc=False):
    """One request, or one ingested record. Every field but `time` has a default.

    The record is invisible to the cyclic garbage collector (`gc=False`), so that a ring full of them adds
    nothing to the host application's collection pauses. It must therefore hold values only: text, bytes,
    numbers and tuples of those.

    `seq` is set when the event is published, which may happen once. `app`, and `error` with it, may be set
    later still: when background tasks outlive the response, the event is on the bus before they end.
    """

    time: int
    """Wall clock when the request began, in nanoseconds since the epoch."""
    kind: Kind = "request"
    seq: int = 0
    """The number the ring gave it, from 1 up without holes; 0 before that."""
    method: str = ""
    path: str = ""
    """Decoded path with the root path, without the query."""
    query: bytes = b""
    """Query string as it was sent, secrets masked."""
    route: str | None = None
    """Route template such as `/items/{id}`; None where no route matched."""
    status: int = 0
    """Response status; 0 when none is known."""
    client: str = ""
    """Address of the peer, as the server saw it."""
    scheme: str = ""
    http_version: str = ""
    request_headers: Headers = ()
    response_headers: Headers = ()
    request_size: int = 0
    """Bytes of body that the application read."""
    response_size: int = 0
    """Bytes of body that the application sent."""
    body: bytes = b""
    """What an ingested record said, byte for byte."""
    ttfb: float | None = None
    """Seconds from the start to the first byte of the response."""
    total: float | None = None
    """Seconds from the start to the last byte of the response."""
    app: float | None = None
    """Seconds until the application returned, background tasks included."""
    error: str | None = None
    """Type of the exception that left the application, or `client_disconnected`."""
    size: int = 0
    """Bytes counted against the ring's bound. A producer that knows it says so; otherwise the ring measures."""

    def measure(self) -> int:
        """Return the bytes this event holds, near enough to bound memory by."""
        headers = self.request_headers + self.response_headers
        text = len(b"".join(chain.from_iterable(headers)))
        strings = _size(self.path) + _size(self.route or "") + _size(self.error or "")
        return OVERHEAD + _PER_HEADER * len(headers) + text + len(self.body) + len(self.query) + strings


def _size(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)
