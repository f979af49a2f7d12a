"""Server spans become requests."""

import time
from typing import Final

from reqscope.bus import Event, Failure
from reqscope.bus.event import Kind

from .exchange import SERVER_ERROR
from .otlp_attributes import HttpAttributes, masked_json
from .otlp_exceptions import exported_failure
from .otlp_records import Source, Span, Value
from .sealed import Gate

SERVER: Final = 2
_EXCEPTION: Final = "exception"


def request_event(source: Source, span: Span, gate: Gate) -> Event:
    """Return the request that a server span tells of, secrets masked.

    One that is not HTTP has its span's name for a route.
    """
    http = HttpAttributes(span.attributes)
    method = http.method
    route = gate.path(http.route or ("" if method else span.name)) or None
    failure = _failure(span, route, gate)
    error = (failure.type if failure else gate.text(http.error)) or None
    kind: Kind = "websocket" if http.is_websocket else "request"
    event = Event(
        time=span.start or time.time_ns(),
        kind=kind,
        method=method,
        path=gate.path(http.path),
        query=gate.query(http.query.encode("utf-8", "replace")),
        route=route,
        status=http.status or (SERVER_ERROR if method and error and kind == "request" else 0),
        client=http.client,
        scheme=http.scheme,
        http_version=http.version,
        request_headers=gate.headers(http.request_headers()),
        response_headers=gate.headers(http.response_headers()),
        request_size=http.request_size,
        response_size=http.response_size,
        total=(span.end - span.start) / 1e9 if span.start and span.end >= span.start else None,
        error=error,
        failure=failure,
        trace_id=span.trace_id,
        span_id=span.span_id,
        service=gate.text(source.service),
        attributes=_attributes(source, span, http, gate),
    )
    event.size = event.measure() + (len(failure.traceback) + len(failure.message) if failure else 0)
    return event


def _failure(span: Span, route: str | None, gate: Gate) -> Failure | None:
    """The last exception: those before it were handled on the way, or are its causes."""
    raised = [moment for moment in span.moments if moment.name == _EXCEPTION]
    return exported_failure(raised[-1].attributes, route, gate) if raised else None


def _attributes(source: Source, span: Span, http: HttpAttributes, gate: Gate) -> bytes:
    moments: list[Value] = [
        {"name": each.name, "time_unix_nano": each.time, "attributes": each.attributes}
        for each in span.moments
        if each.name != _EXCEPTION
    ]
    return masked_json(
        source,
        gate,
        span=span.name,
        parent_span_id=span.parent_id,
        scope=source.scope,
        status_message=span.message,
        attributes=http.others(),
        events=moments,
    )
