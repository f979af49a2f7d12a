"""A line of the log: one struct with all its fields, and a smaller one for a plain request."""

from typing import Final

import msgspec

from .schema import NAMES, Entry

VERSION: Final = 1
"""Of the schema, and the field `schema` of each line. Fields may be added to a version, but none is removed, or means
something else."""


class LogEntry(Entry, omit_defaults=True, rename=NAMES, gc=False, tag_field="schema", tag=VERSION):
    """A line of the log, with all its fields."""


class RequestEntry(msgspec.Struct, omit_defaults=True, rename=NAMES, gc=False, tag_field="schema", tag=VERSION):
    """The fields of `LogEntry`, in its order, that a captured request may have, but for a replay and an exception."""

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
