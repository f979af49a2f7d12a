"""What was exported, whichever way it was encoded."""

from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

Value: TypeAlias = "str | bool | int | float | list[Value] | dict[str, Value] | None"
Attributes: TypeAlias = dict[str, Value]

MAX_RECORDS: Final = 10_000
MAX_DEPTH: Final = 64
_MAX_TIME: Final = 1 << 64

T = TypeVar("T")


class Source(msgspec.Struct, frozen=True):
    """Where records come from."""

    resource: Attributes
    scope: str
    """The instrumentation, or the logger."""

    @property
    def service(self) -> str:
        return text(self.resource.get("service.name"))


class Moment(msgspec.Struct):
    """Something that happened during a span."""

    time: int
    name: str
    attributes: Attributes


class Span(msgspec.Struct):
    """https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto"""

    name: str
    kind: int
    trace_id: str
    """In hexadecimal, as all ids."""
    span_id: str
    parent_id: str
    start: int
    """Nanoseconds since the epoch, as all times."""
    end: int
    failed: bool
    message: str
    """Why it failed."""
    attributes: Attributes
    moments: list[Moment]


class LogRecord(msgspec.Struct):
    """https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/logs/v1/logs.proto"""

    name: str
    time: int
    severity: int
    """1 to 24; 0 where it is not known."""
    severity_text: str
    body: Value
    trace_id: str
    """Empty where the line belongs to no trace."""
    span_id: str
    attributes: Attributes


class Exported(msgspec.Struct, Generic[T]):
    """What could be read, and how much could not."""

    records: list[tuple[Source, T]] = []
    rejected: int = 0
    error: str = ""
    """What was wrong with the first that could not."""

    def reject(self, error: str) -> None:
        self.rejected += 1
        self.error = self.error or error


class BadRecord(ValueError):
    """One record that cannot be taken. The others can."""


class TooMany(ValueError):
    """More records than are taken at a time."""

    def __init__(self) -> None:
        super().__init__(f"more than {MAX_RECORDS} records in one request; export fewer at a time")


def checked_span(span: Span) -> Span:
    """Return a sound span.

    :raises BadRecord: it has no name in a trace, or no time that can be
    """
    if not _is_id(span.trace_id, 32):
        raise BadRecord("a span needs a trace_id of 16 bytes that are not all zero")
    if not _is_id(span.span_id, 16):
        raise BadRecord("a span needs a span_id of 8 bytes that are not all zero")
    _check_time(span.start)
    _check_time(span.end)
    if not _is_id(span.parent_id, 16):
        span.parent_id = ""
    return span


def checked_log(record: LogRecord) -> LogRecord:
    """Return a sound log record. One whose ids are not sound belongs to no trace, as the protocol has it.

    :raises BadRecord: it has no time that can be
    """
    _check_time(record.time)
    if not _is_id(record.trace_id, 32):
        record.trace_id = record.span_id = ""
    elif not _is_id(record.span_id, 16):
        record.span_id = ""
    return record


def text(value: Value) -> str:
    """Return a value that ought to be text; where it is none, an empty text."""
    return value if isinstance(value, str) else ""


def _is_id(digits: str, length: int) -> bool:
    return len(digits) == length and not set(digits) - _DIGITS and digits.strip("0") != ""


_DIGITS: Final = frozenset("0123456789abcdef")


def _check_time(time: int) -> None:
    if not 0 <= time < _MAX_TIME:
        raise BadRecord(f"{time} is no time in nanoseconds since the epoch")
