"""The gate: what was captured passes it once, off the request path, before any reader sees it."""

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, TypeVar

import msgspec

from reqscope.bus import Event
from reqscope.bus.event import Body, Failure, Glance, Headers, LogLine, Sealed
from reqscope.bus.schema import header

from . import correlation, heads
from .bodies import Chunks, unpack
from .failures import Raised, fingerprint, render
from .faults import Faults
from .redaction import Redaction

RawLine: TypeAlias = tuple[int, str, str, str]
"""Time, level, logger and message of a log line, as the application wrote it."""

S = TypeVar("S")
T = TypeVar("T")

_PER_LINE: Final = 250
_MOST_HEADS: Final = 512
_LONGEST_HEAD: Final = 1024
"""Bytes. With `_MOST_HEADS` it bounds what is remembered of heads, which come from clients."""

_WITHHELD: Final = Glance("[withheld]", b"", None, None, b"")

_SIGN_IN: Final = re.compile(r"log-?_?[io]n|sign-?_?[iu]|token|oauth|auth|passw|session|credential", re.IGNORECASE)


class Gate:
    """Decodes and masks. What it cannot make safe it leaves out, and counts a fault.

    :param body_cap: bytes of a body to show
    """

    def __init__(self, redaction: Redaction, faults: Faults, body_cap: int = 16 << 10) -> None:
        self.redaction = redaction
        self.faults = faults
        self.body_cap = body_cap
        self._harmless: dict[bytes, Headers] = {}

    def __reduce__(self) -> str:
        # Every sealed exchange holds its gate: this keeps raw secrets out of pickles. JSON encoders refuse it anyway.
        raise TypeError("what was captured can be copied only after it was opened")

    def unpack(self, head: bytes) -> Headers:
        """Return headers as they were captured, secrets and all."""
        return self._safely(heads.unpack, head, ())

    def headers(self, headers: Headers) -> Headers:
        return self._safely(self.redaction.headers, headers, ())

    def head(self, head: bytes) -> tuple[Headers, Headers]:
        """Return headers as they were captured, secrets and all, and as they may be seen.

        A client sends the same ones over and over, and so does an application. Those in which nothing was masked are
        remembered, and are one object for all events that have them.
        """
        if (known := self._harmless.get(head)) is not None:
            return known, known
        captured = self.unpack(head)
        shown = self.headers(captured)
        if shown != captured:
            return captured, shown
        if captured and len(head) <= _LONGEST_HEAD:
            if len(self._harmless) >= _MOST_HEADS:
                self._harmless.clear()  # a client that fills it does not keep it from working again
            self._harmless[head] = captured
        return captured, captured

    def query(self, query: bytes) -> bytes:
        return self._safely(self.redaction.query, query, b"") if query else query

    def path(self, path: str) -> str:
        return self._safely(self.redaction.path, path, "[withheld]")

    def text(self, text: str) -> str:
        return self._safely(self.redaction.text, text, "[withheld]")

    def body(self, chunks: Chunks | None, size: int, headers: Headers, place: str) -> Body | None:
        """Return the captured part of a body of `size` bytes, made readable.

        :param headers: as they were captured
        :param place: path and route, by which a sign-in is known
        """
        if chunks is None or not chunks.parts:
            return None
        captured = min(len(chunks), self.body_cap)
        withheld = Body(data=b"", captured=captured, withheld="it could not be made safe to show")
        return self._safely(lambda parts: self._readable(parts, size, headers, place, captured), chunks, withheld)

    def content(self, data: bytes, content_type: bytes) -> bytes:
        """Return a whole body that a program sent to be kept, masked."""
        return self._safely(lambda whole: self.redaction.body(whole, content_type), data, b"")

    def failure(self, raised: Raised, route: str | None) -> Failure:
        return Failure(
            type=raised.type.rpartition(".")[2],
            message=self.text(raised.message),
            traceback=self.text(self._safely(render, raised, "")),
            fingerprint=fingerprint(raised, route),
        )

    def line(self, line: RawLine) -> LogLine:
        time, level, logger, message = line
        return LogLine(time=time, level=level, logger=logger, message=self.text(message))

    def withhold(self, event: Event, error: Exception) -> None:
        """Leave out all that may not have passed the gate, because opening the event failed."""
        event.path, event.query, event.body = "[withheld]", b"", b""
        event.route, event.error = event.route and "[withheld]", event.error and "[withheld]"
        self.faults.record("opening", error)

    def _readable(self, chunks: Chunks, size: int, headers: Headers, place: str, captured: int) -> Body:
        data, complete = chunks.join(), len(chunks) == size
        kind = header(headers, b"content-type").encode("latin-1")
        encoding = header(headers, b"content-encoding")
        unpacked = unpack(data, encoding.encode("latin-1"), self.body_cap)
        if unpacked is not None:
            data, complete = unpacked[0], complete and unpacked[1]
        readable = self.redaction.readable(data, kind)
        if unpacked is None and not readable:
            return Body(data=b"", captured=captured, withheld=f"it is packed ({encoding}) and cannot be looked into")
        if not readable and _SIGN_IN.search(place):
            return Body(data=b"", captured=captured, withheld="it cannot be decoded, and may hold a sign-in")
        masked = self.redaction.body(data, kind, complete=complete)
        return Body(data=masked[: self.body_cap], captured=captured, complete=complete and len(masked) <= self.body_cap)

    def _safely(self, step: Callable[[S], T], given: S, instead: T) -> T:
        try:
            return step(given)
        except Exception as error:
            self.faults.record("redaction", error)
            return instead


def weigh_lines(lines: Iterable[RawLine]) -> int:
    """Return the bytes that log lines take, near enough to bound memory by."""
    return sum(_PER_LINE + len(message) for _, _, _, message in lines)


class SealedExchange(msgspec.Struct, array_like=True, tag=0, gc=False):
    """An exchange as it was seen. Nobody is to look in here: `open` is the way to what it holds.

    Between processes of one user it goes as an array, without its gate.
    """

    gate: Gate
    path: str
    query: bytes
    request_head: bytes
    response_head: bytes
    request_id: str = ""
    request_body: Chunks | None = None
    response_body: Chunks | None = None
    lines: tuple[RawLine, ...] = ()
    body: bytes = b""
    """What was posted to be kept."""

    def open(self, event: Event) -> None:
        """See `reqscope.bus.event.Sealed`."""
        try:
            self._open(event)
        except Exception as error:
            self.gate.withhold(event, error)

    def glance(self, event: Event) -> Glance:
        """See `reqscope.bus.event.Sealed`."""
        gate = self.gate
        try:
            body = gate.content(self.body, _content_type(gate.unpack(self.request_head))) if self.body else b""
            return Glance(gate.path(self.path), gate.query(self.query), event.route, event.error, body)
        except Exception as error:
            gate.faults.record("opening", error)
            return _WITHHELD

    def _open(self, event: Event) -> None:
        gate = self.gate
        request_headers, event.request_headers = gate.head(self.request_head)
        response_headers, event.response_headers = gate.head(self.response_head)
        event.path = gate.path(self.path)
        event.query = gate.query(self.query)
        request_id, trace = correlation.named(request_headers)
        event.request_id = gate.text(self.request_id or request_id)
        if self.body:
            event.body = gate.content(self.body, _content_type(request_headers))
        if trace is not None:
            event.trace_id, event.span_id = trace
        if self.request_body is not None or self.response_body is not None:
            place = f"{event.route} {event.path}"
            event.request_body = gate.body(self.request_body, event.request_size, request_headers, place)
            event.response_body = gate.body(self.response_body, event.response_size, response_headers, place)
        if self.lines:
            event.logs = tuple(map(gate.line, self.lines))

    def __repr__(self) -> str:
        return "SealedExchange(…)"


def _content_type(headers: Headers) -> bytes:
    return header(headers, b"content-type").encode("latin-1")


class SealedEnding(msgspec.Struct, array_like=True, tag=1, gc=False):
    """What became known after the event was published: an exception, and what was logged by background tasks."""

    gate: Gate
    before: Sealed | None
    raised: Raised | None
    lines: tuple[RawLine, ...]
    """All of them, those that were known before among them."""

    def open(self, event: Event) -> None:
        """See `reqscope.bus.event.Sealed`."""
        try:
            self._open(event)
        except Exception as error:
            self.gate.withhold(event, error)

    def glance(self, event: Event) -> Glance:
        """See `reqscope.bus.event.Sealed`."""
        if self.before is not None:
            return self.before.glance(event)
        return Glance(event.path, event.query, event.route, event.error, event.body)

    def _open(self, event: Event) -> None:
        if self.before is not None:
            self.before.open(event)
        if self.raised is not None:
            event.failure = self.gate.failure(self.raised, event.route)
        if self.lines:
            event.logs = tuple(map(self.gate.line, self.lines))

    def __repr__(self) -> str:
        return "SealedEnding(…)"


class SealedRecord:
    """A record of a batch, whose text stands in the event itself until it is opened. One does for all of them."""

    __slots__ = ("_gate",)

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def open(self, event: Event) -> None:
        """See `reqscope.bus.event.Sealed`."""
        try:
            self._open(event)
        except Exception as error:
            self._gate.withhold(event, error)

    def glance(self, event: Event) -> Glance:
        """See `reqscope.bus.event.Sealed`. A list shows nearly all of it, so it is opened and need not be again."""
        return event.open().glance()

    def _open(self, event: Event) -> None:
        gate = self._gate
        event.path = gate.path(event.path)
        event.body = gate.content(event.body, b"application/json")
        if event.route:
            event.route = gate.path(event.route)
        if event.error:
            event.error = gate.text(event.error)
