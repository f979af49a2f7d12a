"""Log records become log lines, each an event of its own."""

import time
from typing import Final

from reqscope.bus import Event, LogLine
from reqscope.bus.encoding import encode

from .otlp_attributes import masked_json
from .otlp_exceptions import exported_failure
from .otlp_records import LogRecord, Source, Value, text
from .sealed import Gate

UNHANDLED: Final = "http.server.request.exception"
"""Name of the log record that tells of an exception which left the application."""

_MAX_MESSAGE: Final = 8_000
_LEVELS: Final = ("trace", "debug", "info", "warning", "error", "critical")
_SEVERITIES: Final = ("info", "info", "info", "warning", "error", "error")
"""In the words of `reqscope.bus.schema.level`, for each of `_LEVELS`."""
_EXCEPTION: Final = ("exception.type", "exception.message", "exception.stacktrace")


def line_event(source: Source, record: LogRecord, gate: Gate) -> Event:
    """Return the event of a log record, secrets masked."""
    route = gate.path(text(record.attributes.get("http.route"))) or None
    failure = exported_failure(record.attributes, route, gate)
    message = gate.text(_message(record.body) or record.name)
    told = f"{message} ({failure.type}: {failure.message})" if failure else message
    moment = record.time or time.time_ns()
    rank = _rank(record)
    line = LogLine(time=moment, level=_LEVELS[rank], logger=gate.text(source.scope), message=told[:_MAX_MESSAGE])
    others = {name: value for name, value in record.attributes.items() if name not in (*_EXCEPTION, "http.route")}
    event = Event(
        time=moment,
        kind="log",
        route=route,
        body=message.encode("utf-8", "replace"),
        error=failure.type if failure else None,
        failure=failure,
        trace_id=record.trace_id,
        span_id=record.span_id,
        service=gate.text(source.service),
        severity=_SEVERITIES[rank],
        attributes=masked_json(source, gate, event_name=record.name, scope=source.scope, attributes=others),
        logs=(line,),
    )
    event.size = event.measure() + len(line.message) + (len(failure.traceback) if failure else 0)
    return event


def _message(body: Value) -> str:
    return body if isinstance(body, str) else "" if body is None else encode(body).decode()


def _rank(record: LogRecord) -> int:
    """Place in `_LEVELS`. Four severity numbers are one level; without a number, the text says it."""
    if 1 <= record.severity <= 4 * len(_LEVELS):
        return (record.severity - 1) // 4
    name = record.severity_text.lower()
    level = {"warn": "warning", "fatal": "critical"}.get(name, name)
    return _LEVELS.index(level if level in _LEVELS else "info")
