"""OTLP in JSON: ids in hexadecimal, enumerations as numbers, 64-bit integers as text or as numbers.

protobuf's own JSON reader would take the ids for base64, so this reads them by itself. Fields that are not known are
ignored, as the protocol has it.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from .otlp_records import (
    MAX_DEPTH,
    MAX_RECORDS,
    Attributes,
    BadRecord,
    Exported,
    LogRecord,
    Moment,
    Source,
    Span,
    TooMany,
    Value,
    checked_log,
    checked_span,
)

T = TypeVar("T")
S = TypeVar("S")

_ERROR: Final = 2
_INT64: Final = 1 << 63
_MAX_OBJECTS: Final = 1 << 19
"""Objects in one request: each takes a hundred bytes once it is read, and need not be longer than two."""


class _Any(Struct, rename="camel", gc=False):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None
    array_value: "_Array | None" = None
    kvlist_value: "_KeyValues | None" = None
    bytes_value: str | None = None


class _Array(Struct, gc=False):
    values: list[_Any] | None = None


class _Pair(Struct, gc=False):
    key: str = ""
    value: _Any | None = None


_Pairs = list[_Pair] | None


class _KeyValues(Struct, gc=False):
    values: _Pairs = None


class _Resource(Struct, gc=False):
    attributes: _Pairs = None


class _Scope(Struct, gc=False):
    name: str | None = None


class _Status(Struct, gc=False):
    code: int | None = None
    message: str | None = None


class _Event(Struct, rename="camel", gc=False):
    time_unix_nano: int | None = None
    name: str | None = None
    attributes: _Pairs = None


class _Span(Struct, rename="camel", gc=False):
    name: str | None = None
    kind: int | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    start_time_unix_nano: int | None = None
    end_time_unix_nano: int | None = None
    attributes: _Pairs = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _Log(Struct, rename="camel", gc=False):
    event_name: str | None = None
    time_unix_nano: int | None = None
    observed_time_unix_nano: int | None = None
    severity_number: int | None = None
    severity_text: str | None = None
    body: _Any | None = None
    trace_id: str | None = None
    span_id: str | None = None
    attributes: _Pairs = None


class _ScopeRecords(Struct, rename="camel", gc=False):
    scope: _Scope | None = None
    spans: list[Raw] | None = None
    log_records: list[Raw] | None = None
    metrics: list["_Metric"] | None = None


class _ResourceRecords(Struct, rename="camel", gc=False):
    resource: _Resource | None = None
    scope_spans: list[_ScopeRecords] | None = None
    scope_logs: list[_ScopeRecords] | None = None
    scope_metrics: list[_ScopeRecords] | None = None


class _Export(Struct, rename="camel", gc=False):
    resource_spans: list[_ResourceRecords] | None = None
    resource_logs: list[_ResourceRecords] | None = None
    resource_metrics: list[_ResourceRecords] | None = None


class _Points(Struct, rename="camel", gc=False):
    data_points: list[Raw] | None = None


class _Metric(Struct, rename="camel", gc=False):
    gauge: _Points | None = None
    sum: _Points | None = None
    histogram: _Points | None = None
    exponential_histogram: _Points | None = None
    summary: _Points | None = None


# Not strict: text that reads as a number is one.
_exports: Final = msgspec.json.Decoder(_Export, strict=False)
_spans: Final = msgspec.json.Decoder(_Span, strict=False)
_logs: Final = msgspec.json.Decoder(_Log, strict=False)


def read_spans(body: bytes) -> Exported[Span]:
    """Read what is posted to `/v1/traces`. A span that cannot be read costs no other.

    :raises ValueError: it is not that
    :raises TooMany: it holds too many spans
    """
    scopes = (
        (each, scope, scope.spans or [])
        for each in _parsed(body).resource_spans or []
        for scope in each.scope_spans or []
    )
    return _read(scopes, _spans, lambda span: checked_span(_span(span)))


def read_logs(body: bytes) -> Exported[LogRecord]:
    """Read what is posted to `/v1/logs`. Raises as `read_spans` does."""
    scopes = (
        (each, scope, scope.log_records or [])
        for each in _parsed(body).resource_logs or []
        for scope in each.scope_logs or []
    )
    return _read(scopes, _logs, lambda record: checked_log(_log(record)))


def count_points(body: bytes) -> int:
    """Return how many data points were posted to `/v1/metrics`. Raises as `read_spans` does."""
    scopes = (scope for each in _parsed(body).resource_metrics or [] for scope in each.scope_metrics or [])
    metrics = (metric for scope in scopes for metric in scope.metrics or [])
    kinds = (kind for metric in metrics for kind in msgspec.structs.astuple(metric) if kind is not None)
    return sum(len(kind.data_points or []) for kind in kinds)


def _parsed(body: bytes) -> _Export:
    if body.count(b"{") > _MAX_OBJECTS:
        raise TooMany
    try:
        body.decode()
        return _exports.decode(body)
    except RecursionError:
        raise ValueError(f"the JSON is nested deeper than {MAX_DEPTH} levels") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"the body is not UTF-8 at byte {error.start}") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"the body is not the JSON that is posted here: {error}") from None


def _read(
    scopes: Iterable[tuple[_ResourceRecords, _ScopeRecords, list[Raw]]],
    decoder: msgspec.json.Decoder[S],
    read: Callable[[S], T],
) -> Exported[T]:
    exported = Exported[T]()
    for each, scope, records in scopes:
        if len(exported.records) + exported.rejected + len(records) > MAX_RECORDS:
            raise TooMany
        source = Source(_resource(each), (scope.scope and scope.scope.name) or "")
        for record in records:
            try:
                exported.records.append((source, read(decoder.decode(record))))
            except RecursionError:
                exported.reject(f"a value is nested deeper than {MAX_DEPTH} levels")
            except (BadRecord, msgspec.DecodeError, UnicodeDecodeError) as error:
                exported.reject(str(error))
    return exported


def _resource(each: _ResourceRecords) -> Attributes:
    try:
        return _attributes(each.resource.attributes if each.resource else None)
    except BadRecord as error:  # without it nobody knows whose records these are
        raise ValueError(str(error)) from None


def _span(span: _Span) -> Span:
    status = span.status or _Status()
    return Span(
        name=span.name or "",
        kind=span.kind or 0,
        trace_id=(span.trace_id or "").lower(),
        span_id=(span.span_id or "").lower(),
        parent_id=(span.parent_span_id or "").lower(),
        start=span.start_time_unix_nano or 0,
        end=span.end_time_unix_nano or 0,
        failed=status.code == _ERROR,
        message=status.message or "",
        attributes=_attributes(span.attributes),
        moments=[
            Moment(each.time_unix_nano or 0, each.name or "", _attributes(each.attributes))
            for each in span.events or []
        ],
    )


def _log(record: _Log) -> LogRecord:
    return LogRecord(
        name=record.event_name or "",
        time=record.time_unix_nano or record.observed_time_unix_nano or 0,
        severity=record.severity_number or 0,
        severity_text=record.severity_text or "",
        body=_value(record.body),
        trace_id=(record.trace_id or "").lower(),
        span_id=(record.span_id or "").lower(),
        attributes=_attributes(record.attributes),
    )


def _attributes(pairs: _Pairs, depth: int = 0) -> Attributes:
    return {pair.key: _value(pair.value, depth) for pair in pairs or []}


def _value(value: _Any | None, depth: int = 0) -> Value:
    if depth > MAX_DEPTH:
        raise BadRecord(f"a value is nested deeper than {MAX_DEPTH} levels")
    if value is None:
        return None
    if value.array_value is not None:
        return [_value(item, depth + 1) for item in value.array_value.values or []]
    if value.kvlist_value is not None:
        return _attributes(value.kvlist_value.values, depth + 1)
    if value.int_value is not None and not -_INT64 <= value.int_value < _INT64:
        raise BadRecord("an intValue has more than 64 bits")
    plain = (value.string_value, value.bool_value, value.int_value, value.double_value, value.bytes_value)
    return next((each for each in plain if each is not None), None)
