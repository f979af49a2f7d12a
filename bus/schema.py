"""How an event looks from outside: one schema for the log, the API and the panel.

Names are those of OpenTelemetry's semantic conventions for HTTP where they have one, and structlog's
`timestamp`, `level` and `event`. Durations are in seconds, sizes in bytes. A field without a value is left out.
"""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

from .event import Event, Headers

_NAMES: Final = {
    "method": "http.request.method",
    "path": "url.path",
    "query": "url.query",
    "scheme": "url.scheme",
    "route": "http.route",
    "status": "http.response.status_code",
    "client": "client.address",
    "user_agent": "user_agent.original",
    "http_version": "network.protocol.version",
    "request_size": "http.request.body.size",
    "response_size": "http.response.body.size",
    "error": "error.type",
    "request_headers": "http.request.headers",
    "response_headers": "http.response.headers",
}


class Summary(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_NAMES, gc=False):
    """What lists show: everything of fixed size."""

    timestamp: datetime
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
    user_agent: str = ""
    http_version: str = ""
    request_size: int = 0
    response_size: int = 0
    ttfb: float | None = None
    duration: float | None = None
    app_duration: float | None = None
    error: str | None = None


class Entry(Summary, kw_only=True, omit_defaults=True, rename=_NAMES, gc=False):
    """A line of the log: the summary, and what an ingested record said."""

    body: str | None = None
    body_base64: str | None = None
    """Instead of `body`, where that is not text."""


class Detail(Entry, kw_only=True, omit_defaults=True, rename=_NAMES, gc=False):
    """All that is known of one event."""

    request_headers: list[tuple[str, str]] = []
    response_headers: list[tuple[str, str]] = []


_CLIENT_CLOSED_REQUEST: Final = 499

View = TypeVar("View", Summary, Entry, Detail)


def view(event: Event, boot: str, as_type: type[View]) -> View:
    """Return what `event`, number so-and-so of the life `boot` of its bus, looks like from outside."""
    shown = as_type(
        timestamp=datetime.fromtimestamp(event.time / 1e9, UTC),
        level=level(event),
        event=event.kind,
        id=f"{boot}-{event.seq}",
        seq=event.seq,
        method=event.method,
        path=event.path,
        query=event.query.decode("latin-1"),
        scheme=event.scheme,
        route=event.route,
        status=event.status,
        client=event.client,
        user_agent=header(event.request_headers, b"user-agent"),
        http_version=event.http_version,
        request_size=event.request_size,
        response_size=event.response_size,
        ttfb=_microseconds(event.ttfb),
        duration=_microseconds(event.total),
        app_duration=_microseconds(event.app),
        error=event.error,
    )
    if isinstance(shown, Entry) and event.body:
        shown.body, shown.body_base64 = text_or_base64(event.body)
    if isinstance(shown, Detail):
        shown.request_headers = _as_text(event.request_headers)
        shown.response_headers = _as_text(event.response_headers)
    return shown


def level(event: Event) -> str:
    """Return `error` for what failed here, `warning` for what the client did wrong, `info` for the rest."""
    if event.status >= 500 or (event.error and event.status != _CLIENT_CLOSED_REQUEST):
        return "error"
    return "warning" if event.status >= 400 else "info"


def header(headers: Headers, name: bytes) -> str:
    """Return the value of the first header called `name` (lower case), or an empty string."""
    return next((value.decode("latin-1") for key, value in headers if key == name), "")


def text_or_base64(data: bytes) -> tuple[str | None, str | None]:
    """Return `(text, None)` for UTF-8, `(None, base64)` for anything else."""
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return None, b64encode(data).decode()


def _as_text(headers: Headers) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _microseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
