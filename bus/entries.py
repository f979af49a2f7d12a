"""Log entries of many events at once: what `schema.view` gives one by one, at a quarter of its price.

A plain request, which most events are, takes a struct without the fields that it cannot have, filled by position in
one loop, with the second of its timestamp formatted once for all that share it. All else goes through `view`. That
both give the same line is held by a test.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from .event import Event, Headers
from .schema import NAMES, Entry, header, level, timestamp, view

VERSION: Final = 1
"""Of the schema, and the field `schema` of each line. Fields may be added to a version, but none is removed, or means
something else."""

_SECOND: Final = 10**9
_THREE_DIGITS: Final = [f"{number:03}" for number in range(1000)]
_LONGEST: Final = 1e9
"""Seconds that a duration is rounded up to, so that none is infinite; NaN is not below it either."""


class LogEntry(Entry, kw_only=True, omit_defaults=True, rename=NAMES, gc=False, tag_field="schema", tag=VERSION):
    """A line of the log, with all its fields."""


class RequestEntry(msgspec.Struct, omit_defaults=True, rename=NAMES, gc=False, tag_field="schema", tag=VERSION):
    """The fields of `LogEntry`, in its order, that a request may have which brought no exception and no record."""

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
    request_size: int = 0
    response_size: int = 0
    ttfb: float | None = None
    duration: float | None = None
    app_duration: float | None = None
    error: str | None = None


def entries(events: Sequence[Event], boot: str) -> list[RequestEntry | LogEntry]:
    """Return the log entry of each of `events`, opened ones of the life `boot` of their bus."""
    made: list[RequestEntry | LogEntry] = []
    begin = end = 0
    prefix = ""
    id_prefix = f"{boot}-"
    for event in events:
        if event.kind != "request" or event.failure is not None or event.body:
            made.append(view(event, boot, LogEntry))
            continue
        if not begin <= (time := event.time) < end:
            begin = time // _SECOND * _SECOND
            end = begin + _SECOND
            prefix = timestamp(begin)[:-7]
        micros = (time - begin) // 1000
        seq = event.seq
        query = event.query
        status = event.status
        error = event.error
        host = agent = None
        headers = event.request_headers
        for name, value in headers:
            if host is None and name == b"host":
                host = value.decode("latin-1")
                if agent is not None:
                    break
            elif agent is None and name == b"user-agent":
                agent = value.decode("latin-1")
                if host is not None:
                    break
        # Three times what `schema.microseconds` does: a call would cost more than the work.
        if (ttfb := event.ttfb) is not None:
            ttfb = int(ttfb * 1e6 + 0.5) / 1e6 if 0 <= ttfb < _LONGEST else round(ttfb, 6)
        if (total := event.total) is not None:
            total = int(total * 1e6 + 0.5) / 1e6 if 0 <= total < _LONGEST else round(total, 6)
        if (app := event.app) is not None:
            app = int(app * 1e6 + 0.5) / 1e6 if 0 <= app < _LONGEST else round(app, 6)
        made.append(
            RequestEntry(
                f"{prefix}{_THREE_DIGITS[micros // 1000]}{_THREE_DIGITS[micros % 1000]}Z",
                "info" if status < 400 and error is None else level(event),
                "request",
                f"{id_prefix}{seq}",
                seq,
                event.method,
                event.path,
                query.decode("latin-1") if query else "",
                event.scheme,
                event.route,
                status,
                event.client,
                _found(host, headers, b"host"),
                _found(agent, headers, b"user-agent"),
                event.http_version,
                event.request_id,
                event.trace_id,
                event.span_id,
                event.request_size,
                event.response_size,
                ttfb,
                total,
                app,
                error,
            )
        )
    return made


def _found(value: str | None, headers: Headers, name: bytes) -> str:
    """Return what was found, or look again in any case of letters: only ASGI promises lower case."""
    return header(headers, name) if value is None and headers else value or ""
