"""The record that travels: one captured exchange, or one record that another program sent."""

from itertools import chain
from typing import Final, Literal, NamedTuple, Protocol, Self, TypeAlias

import msgspec

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Name and value pairs in wire order, duplicates kept, secrets already masked."""

Kind: TypeAlias = Literal["request", "websocket", "log", "record"]
"""How the event came in: captured around an app or exported by its OpenTelemetry SDK, a log line that was posted to
`/log` or exported, or one of a batch posted to `/events`."""

OVERHEAD: Final = 640
"""Bytes that an event holds beside its headers and body: the record, its numbers and its short strings."""

PER_HEADER: Final = 130
"""Bytes that a header takes beside its text: a pair and two bytes objects."""


class Body(msgspec.Struct, kw_only=True, gc=False):
    """A captured body, secrets masked."""

    data: bytes
    """What was captured, unpacked where it was compressed."""
    captured: int
    """Bytes captured of what went over the wire, which were as many as the event's sizes say."""
    complete: bool = True
    """False where `data` lacks something at its end: more came than is kept, or than fits once it is unpacked."""
    withheld: str | None = None
    """Why `data` is empty, where it could not be made safe to show."""


class Failure(msgspec.Struct, kw_only=True, gc=False):
    """The exception that left the application, secrets masked."""

    type: str
    message: str
    traceback: str
    """As Python prints it, without the values of variables."""
    fingerprint: str
    """Equal for exceptions of one type that come from the same line on the same route."""


class LogLine(msgspec.Struct, kw_only=True, gc=False):
    """What the application logged during the request, secrets masked."""

    time: int
    """Wall clock, in nanoseconds since the epoch."""
    level: str
    logger: str
    message: str


class Glance(NamedTuple):
    """The text of an event that a list shows, secrets masked."""

    path: str
    query: bytes
    route: str | None
    error: str | None
    body: bytes


class Sealed(Protocol):
    """What was seen of an exchange and has not been made safe to show yet."""

    def open(self, event: "Event") -> None:
        """Fill in the event's text, secrets masked. Never raises; a second call fills in the same."""
        ...

    def glance(self, event: "Event") -> Glance:
        """Return what an opened event would show in a list. Never raises; what it need not look at stays sealed."""
        ...


class Event(msgspec.Struct, array_like=True, gc=False):
    """One request, or one ingested record. Every field but `time` has a default.

    The record is invisible to the cyclic garbage collector (`gc=False`), so that a ring full of them adds
    nothing to the host application's collection pauses. It must therefore hold values only: text, bytes,
    numbers and tuples of those. It is an array where it is encoded, as between processes. Fields that every event has
    come first: capture and ingest give them by position, which is a third faster.

    `seq` is set when the event is published, which may happen once. `app`, and `error` with it, may be set
    later still: when background tasks outlive the response, the event is on the bus before they end.

    A captured event comes *sealed*: decoding and masking its text is not worth a request's time, and most events
    are never looked at. Until `open` was called, its path, query, headers, bodies, failure and log lines are empty.
    Readers get opened events unless they ask for sealed ones.
    """

    time: int
    """Wall clock when the request began, in nanoseconds since the epoch."""
    kind: Kind = "request"
    method: str = ""
    route: str | None = None
    """Route template such as `/items/{id}`; None where no route matched."""
    status: int = 0
    """Response status; 0 when none is known."""
    client: str = ""
    """Address of the peer, as the server saw it."""
    scheme: str = ""
    http_version: str = ""
    request_size: int = 0
    """Bytes of body that the application read; of a WebSocket, of all messages."""
    response_size: int = 0
    """Bytes of body that the application sent; of a WebSocket, in all messages."""
    ttfb: float | None = None
    """Seconds from the start to the first byte of the response."""
    total: float | None = None
    """Seconds from the start to the last byte of the response."""
    error: str | None = None
    """Type of the exception that left the application, or `client_disconnected`."""
    size: int = 0
    """Bytes counted against the ring's bound. A producer that knows it says so; otherwise the ring measures."""
    sealed: Sealed | None = None
    path: str = ""
    """Decoded path with the root path, without the query."""
    body: bytes = b""
    """What an ingested record said, byte for byte."""
    seq: int = 0
    """The number the ring gave it, from 1 up without holes; 0 before that."""
    query: bytes = b""
    """Query string as it was sent, secrets masked."""
    request_headers: Headers = ()
    response_headers: Headers = ()
    request_body: Body | None = None
    response_body: Body | None = None
    app: float | None = None
    """Seconds until the application returned, background tasks included."""
    failure: Failure | None = None
    stub: str | None = None
    """Name of the stub that answered, where a mock did."""
    request_id: str = ""
    """From the `X-Request-ID` header if that is sound, otherwise made up for the request."""
    trace_id: str = ""
    """From the `traceparent` header (W3C Trace Context), 32 hexadecimal digits."""
    span_id: str = ""
    """The caller's span, from the `traceparent` header, 16 hexadecimal digits; of what was exported, its own span."""
    service: str = ""
    """Which service it is of, where the exporter named one."""
    severity: str = ""
    """Of an exported log line, in the words of `schema.level`; of all else, status and error say it."""
    attributes: bytes = b""
    """What the exporter said beside the fields of an event, as a JSON object."""
    logs: tuple[LogLine, ...] = ()
    messages_received: int = 0
    """Messages that a WebSocket's client sent."""
    messages_sent: int = 0
    close_code: int | None = None
    """Of a WebSocket that was accepted and is closed."""
    replay_of: str = ""
    """Id of the event whose request the monitor itself sent once more, maybe edited; empty for all others."""
    worker: str = ""
    """Name of the process that captured it, where that is another one than this."""

    def open(self) -> Self:
        """Make the text of a sealed event readable, and return the event. Safe in any thread."""
        if (sealed := self.sealed) is not None:
            sealed.open(self)
            # Only now: whoever finds no seal must find the text. And what was sealed meanwhile stays so.
            if self.sealed is sealed:
                self.sealed = None
        return self

    def glance(self) -> Glance:
        """Return the text that a list shows, at a fraction of what opening costs. Safe in any thread."""
        sealed = self.sealed
        if sealed is not None:
            return sealed.glance(self)
        return Glance(self.path, self.query, self.route, self.error, self.body)

    def measure(self) -> int:
        """Return the bytes this event holds, near enough to bound memory by."""
        headers = self.request_headers + self.response_headers
        text = len(b"".join(chain.from_iterable(headers)))
        strings = _size(self.path) + _size(self.route or "") + _size(self.error or "")
        return (
            OVERHEAD
            + PER_HEADER * len(headers)
            + text
            + len(self.body)
            + len(self.query)
            + len(self.attributes)
            + strings
        )


def _size(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)
