"""Names of the Elastic Common Schema for the fields of a log line: https://www.elastic.co/docs/reference/ecs"""

from typing import Final

from structlog.typing import EventDict, WrappedLogger

_VERSION: Final = "8.17.0"

NAMES: Final = {
    "timestamp": "@timestamp",
    "level": "log.level",
    "event": "event.action",
    "id": "event.id",
    "seq": "event.sequence",
    "network.protocol.version": "http.version",
    "request_id": "http.request.id",
    "trace_id": "trace.id",
    "span_id": "span.id",
    "http.request.body.size": "http.request.body.bytes",
    "http.response.body.size": "http.response.body.bytes",
    "duration": "event.duration",
    "exception.message": "error.message",
    "exception.stacktrace": "error.stack_trace",
    "body": "event.original",
}
"""Fields that ECS has another name for. The others have the same, or none, and keep theirs."""


def ecs(logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    """A structlog processor that gives a line of the log the names, and units, of ECS."""
    renamed = {NAMES.get(name, name): value for name, value in event_dict.items()}
    if isinstance(seconds := renamed.get("event.duration"), float):
        renamed["event.duration"] = round(seconds * 1e9)
    words = (renamed.get(name) for name in ("http.request.method", "url.path", "http.response.status_code"))
    said = " ".join(str(word) for word in words if word is not None)
    return {**renamed, "message": said or renamed["event.action"], "ecs.version": _VERSION}
