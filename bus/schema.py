"""How an event looks from outside: one schema for the log, the API and the panel.

Names are those of OpenTelemetry's semantic conventions for HTTP where they have one, and structlog's
`timestamp`, `level` and `event`. Durations are in seconds, sizes in bytes. A field without a value is left out.
"""

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Final, TypeVar

import msgspec

from .event import Body, Event, Headers, LogLine
from .failures import FailureGroup

NAMES: Final = {
    "method": "http.request.method",
    "path": "url.path",
    "query": "url.query",
    "scheme": "url.scheme",
    "route": "http.route",
    "status": "http.response.status_code",
    "client": "client.address",
    "worker": "service.instance.id",
    "user_agent": "user_agent.original",
    "http_version": "network.protocol.version",
    "request_size": "http.request.body.size",
    "response_size": "http.response.body.size",
    "error": "error.type",
    "host": "server.address",
    "service": "service.name",
    "exception_message": "exception.message",
    "traceback": "exception.stacktrace",
    "fingerprint": "exception.fingerprint",
    "request_body": "http.request.body",
    "response_body": "http.response.body",
    "messages_received": "websocket.messages.received",
    "messages_sent": "websocket.messages.sent",
    "close_code": "websocket.close_code",
    "request_headers": "http.request.headers",
    "response_headers": "http.response.headers",
}


class Summary(msgspec.Struct, omit_defaults=True, rename=NAMES, gc=False):
    """What lists show: everything of fixed size."""

    timestamp: str
    level: str
    event: str
    id: str
    seq: int
    method: str = ""
    path: str = ""
    query: str = ""
    scheme: str = ""
    route: str | None = None
    status: int = 0
    client: str = ""
    host: str = ""
    user_agent: str = ""
    http_version: str = ""
    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    service: str = ""
    request_size: int = 0
    response_size: int = 0
    messages_received: int = 0
    messages_sent: int = 0
    close_code: int | None = None
    ttfb: float | None = None
    duration: float | None = None
    app_duration: float | None = None
    error: str | None = None
    stub: str | None = None
    replay_of: str = ""
    worker: str = ""


class Entry(Summary, omit_defaults=True, rename=NAMES, gc=False):
    """A line of the log: the summary, what an ingested record said, and the exception if there was one."""

    exception_message: str | None = None
    traceback: str | None = None
    fingerprint: str | None = None

    body: str | None = None
    body_base64: str | None = None
    """Instead of `body`, where that is not text."""
    attributes: str | None = None
    """What an OpenTelemetry exporter said beside all this, as a JSON object."""


class Content(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What was captured of a body."""

    captured: int
    """Bytes captured, of so many in all as the body's size says."""
    text: str | None = None
    base64: str | None = None
    """Instead of `text`, where that is not UTF-8."""
    withheld: str | None = None


class Line(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A line that the application logged during the request, or that was exported with the same trace."""

    timestamp: datetime
    level: str
    logger: str
    message: str
    service: str = ""
    """Of a line that was exported, which service logged it."""


class Detail(Entry, omit_defaults=True, rename=NAMES, gc=False):
    """All that is known of one event."""

    request_headers: list[tuple[str, str]] = []
    response_headers: list[tuple[str, str]] = []
    request_body: Content | None = None
    response_body: Content | None = None
    logs: list[Line] = []


_CLIENT_CLOSED_REQUEST: Final = 499

WHOLE: Final = 3 * 2.0**51
"""Added to a number and taken away again, it leaves that rounded to a whole one: a float so large has no digits for
less. That is many times faster than `round`."""

View = TypeVar("View", bound=Summary)


def view(event: Event, boot: str, as_type: type[View]) -> View:
    """Return what `event`, an opened one of the life `boot` of its bus, looks like from outside."""
    shown = as_type(  # by position, in the order of `Summary`: naming the fields costs as much again
        timestamp(event.time),
        level(event),
        event.kind,
        f"{boot}-{event.seq}",
        event.seq,
        event.method,
        event.path,
        event.query.decode("latin-1"),
        event.scheme,
        event.route,
        event.status,
        event.client,
        header(event.request_headers, b"host"),
        header(event.request_headers, b"user-agent"),
        event.http_version,
        event.request_id,
        event.trace_id,
        event.span_id,
        event.service,
        event.request_size,
        event.response_size,
        event.messages_received,
        event.messages_sent,
        event.close_code,
        microseconds(event.ttfb),
        microseconds(event.total),
        microseconds(event.app),
        event.error,
        event.stub,
        event.replay_of,
        event.worker,
    )
    if isinstance(shown, Entry):
        if event.body:
            shown.body, shown.body_base64 = text_or_base64(event.body)
        if event.attributes:
            shown.attributes = event.attributes.decode()
        if (failure := event.failure) is not None:
            shown.exception_message, shown.traceback = failure.message, failure.traceback
            shown.fingerprint = failure.fingerprint
    if isinstance(shown, Detail):
        shown.request_headers = _as_text(event.request_headers)
        shown.response_headers = _as_text(event.response_headers)
        shown.request_body = _content(event.request_body)
        shown.response_body = _content(event.response_body)
        shown.logs = [_line(line) for line in event.logs]
    return shown


def detail(event: Event, boot: str, exported: Sequence[Event] = ()) -> Detail:
    """Return all that is known of an opened `event`.

    :param exported: log lines of its trace that came by themselves, as `trace_lines` finds them
    """
    shown = view(event, boot, Detail)
    lines = [_line(line, each.service) for each in exported for line in each.logs]
    if lines:
        shown.logs = sorted([*shown.logs, *lines], key=attrgetter("timestamp"))
    return shown


class FailureView(msgspec.Struct, kw_only=True, rename=NAMES, gc=False):
    """Exceptions of one type, from one line, on one route."""

    fingerprint: str
    error: str
    route: str | None
    exception_message: str
    traceback: str
    count: int
    first: datetime
    last: datetime
    id: str
    """Of the latest one's event."""


def failure_view(group: FailureGroup, boot: str) -> FailureView:
    """Return what a group of failures looks like from outside."""
    return FailureView(
        fingerprint=group.fingerprint,
        error=group.type,
        route=group.route,
        exception_message=group.message,
        traceback=group.traceback,
        count=group.count,
        first=_moment(group.first),
        last=_moment(group.last),
        id=f"{boot}-{group.event}",
    )


def level(event: Event) -> str:
    """Return `error` for what failed here, `warning` for what the client did wrong, `info` for the rest.

    A log line that was exported has the level it was logged with.
    """
    if event.severity:
        return event.severity
    if event.status >= 500 or (event.error and event.status != _CLIENT_CLOSED_REQUEST):
        return "error"
    return "warning" if event.status >= 400 else "info"


def header(headers: Headers, name: bytes) -> str:
    """Return the value of the first header called `name` (lower case), or an empty string."""
    for key, value in headers:
        if key == name or (len(key) == len(name) and key.lower() == name):
            return value.decode("latin-1")
    return ""


def text_or_base64(data: bytes) -> tuple[str | None, str | None]:
    """Return `(text, None)` for UTF-8, `(None, base64)` for anything else."""
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return None, b64encode(data).decode()


def _as_text(headers: Headers) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _content(body: Body | None) -> Content | None:
    if body is None:
        return None
    if body.withheld is not None:
        return Content(captured=body.captured, withheld=body.withheld)
    text, base64 = text_or_base64(body.data)
    return Content(captured=body.captured, text=text, base64=base64)


def _line(line: LogLine, service: str = "") -> Line:
    moment = _moment(line.time)
    return Line(timestamp=moment, level=line.level, logger=line.logger, message=line.message, service=service)


def timestamp(nanoseconds: int) -> str:
    """Return a moment as ISO 8601 in UTC, always with six digits of a second, so that lines line up and sort."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{_second(seconds)}.{rest // 1000:06}Z"


@lru_cache(64)  # events come by the second, and this was half of what a view costs
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def microseconds(seconds: float | None) -> float | None:
    """Return a duration rounded to the microsecond."""
    return None if seconds is None else (seconds * 1e6 + WHOLE - WHOLE) / 1e6


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
