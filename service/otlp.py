"""OpenTelemetry's protocol over HTTP (OTLP/HTTP): what SDKs and collectors export becomes events.

Exports are read in a thread: large ones take a while, and the event loop has others to serve.
"""

from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any, Final

from anyio import CapacityLimiter, to_thread

from reqscope.bus import Event

from .otlp_answers import JSON, PROTOBUF, accepted
from .otlp_lines import UNHANDLED, line_event
from .otlp_records import Exported, LogRecord, Span, TooMany
from .otlp_spans import SERVER, request_event
from .sealed import Gate

SIGNALS: Final = {"/v1/traces": "rejectedSpans", "/v1/logs": "rejectedLogRecords", "/v1/metrics": "rejectedDataPoints"}
"""The paths, and what an answer calls the count of what was not taken."""

_READERS: Final = {PROTOBUF: ".otlp_protobuf", JSON: ".otlp_json"}
_AT_ONCE: Final = 2
_NO_METRICS: Final = "Reqscope keeps no metrics; OTEL_METRICS_EXPORTER=none stops sending them"


@dataclass(slots=True)
class OtlpCounts:
    """What was exported to here, since the start. Spans are `requests + other_spans + rejected_spans`."""

    requests: int = 0
    """Server spans, each of which is an event."""
    other_spans: int = 0
    """Spans inside of a process or of its own calls, which are no requests that it got, and are not kept."""
    log_lines: int = 0
    rejected_spans: int = 0
    """What could not be read, or makes no sense."""
    rejected_log_lines: int = 0
    metric_points: int = 0
    """None of them is kept."""

    def add(self, other: "OtlpCounts") -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(slots=True)
class Received:
    """What came of one request."""

    content_type: str
    answer: bytes
    events: list[Event] = field(default_factory=list[Event])
    unhandled: list[Event] = field(default_factory=list[Event])
    """Those of the events that tell of an exception which left the application."""
    counts: OtlpCounts = field(default_factory=OtlpCounts)
    error: str = ""
    """Why nothing can be taken."""


class NotOtlp(Exception):
    """A body that cannot be taken.

    :ivar status: the HTTP status that says so
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Receiver:
    """Turns exports into events.

    :param gate: what masks their secrets
    """

    def __init__(self, gate: Gate, counts: OtlpCounts | None = None) -> None:
        self.counts = counts or OtlpCounts()
        self._gate = gate
        self._limiter: CapacityLimiter | None = None

    async def receive(self, path: str, content_type: str, body: bytes) -> Received:
        """Return what an export to `path`, one of `SIGNALS`, came to.

        If cancelled, it is read to its end all the same, and nothing comes of it.

        :raises NotOtlp: nothing of it can be taken
        """
        if self._limiter is None:  # a few large ones at a time, or they would take much memory together
            self._limiter = CapacityLimiter(_AT_ONCE)
        received = await to_thread.run_sync(self.read, path, content_type, body, limiter=self._limiter)
        self.counts.add(received.counts)
        if received.error:
            raise NotOtlp(400, received.error)
        return received

    def read(self, path: str, content_type: str, body: bytes) -> Received:
        """Return the same, in the thread that this is called in, and count nothing.

        :raises NotOtlp: nobody can tell what it is
        """
        reader = _reader(content_type)
        read = {"/v1/traces": self._spans, "/v1/logs": self._lines, "/v1/metrics": self._points}[path]
        try:
            return read(reader, content_type, body)
        except TooMany as error:
            raise NotOtlp(413, str(error)) from None
        except ValueError as error:
            raise NotOtlp(400, str(error)) from None

    def _spans(self, reader: Any, content_type: str, body: bytes) -> Received:
        exported: Exported[Span] = reader.read_spans(body)
        served = [(source, span) for source, span in exported.records if span.kind == SERVER]
        events = [request_event(source, span, self._gate) for source, span in served]
        received = _received("/v1/traces", content_type, exported, events)
        others = len(exported.records) - len(events)
        received.counts = OtlpCounts(requests=len(events), other_spans=others, rejected_spans=exported.rejected)
        received.unhandled = [event for event in events if event.failure is not None]
        return received

    def _lines(self, reader: Any, content_type: str, body: bytes) -> Received:
        exported: Exported[LogRecord] = reader.read_logs(body)
        events = [line_event(source, record, self._gate) for source, record in exported.records]
        received = _received("/v1/logs", content_type, exported, events)
        received.counts = OtlpCounts(log_lines=len(events), rejected_log_lines=exported.rejected)
        received.unhandled = [
            event
            for event, (_, record) in zip(events, exported.records, strict=True)
            if event.failure is not None and record.name == UNHANDLED
        ]
        return received

    def _points(self, reader: Any, content_type: str, body: bytes) -> Received:
        points: int = reader.count_points(body)
        answer = accepted(content_type, SIGNALS["/v1/metrics"], points, _NO_METRICS)
        return Received(content_type, answer, counts=OtlpCounts(metric_points=points))


def _received(path: str, content_type: str, exported: Exported[Any], events: list[Event]) -> Received:
    rejected = exported.rejected
    nothing = rejected and not exported.records
    error = f"none of the {rejected} records can be taken: {exported.error}" if nothing else ""
    return Received(content_type, accepted(content_type, SIGNALS[path], rejected, exported.error), events, error=error)


def _reader(content_type: str) -> Any:
    try:
        return import_module(_READERS[content_type], __package__)
    except KeyError:
        raise NotOtlp(415, f"export as Content-Type: {PROTOBUF} or {JSON}") from None
    except ImportError:
        raise NotOtlp(
            415,
            "protobuf cannot be read here until the extra is installed: pip install 'reqscope[otlp]'; or export JSON",
        ) from None
