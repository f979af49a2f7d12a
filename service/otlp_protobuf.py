"""OTLP in protobuf, read with OpenTelemetry's own definitions."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

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

_ERROR: Final = 2
_POINTS: Final = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
_LENGTH_DELIMITED: Final = 2
_FIXED: Final = {1: 8, 5: 4}
# Fields of the messages around records: resource_spans and its like, scope_spans, spans.
_TO_RECORDS: Final = (1, 2, 2)
_MAX_CONTAINERS: Final = 2 * MAX_RECORDS


def read_spans(body: bytes) -> Exported[Span]:
    """Read what is posted to `/v1/traces`.

    :raises ValueError: it is not that
    :raises TooMany: it holds too many spans
    """
    export = _parsed(ExportTraceServiceRequest, body)
    scopes = ((each, scope, scope.spans) for each in export.resource_spans for scope in each.scope_spans)
    return _read(scopes, lambda span: checked_span(_span(span)))


def read_logs(body: bytes) -> Exported[LogRecord]:
    """Read what is posted to `/v1/logs`. Raises as `read_spans` does."""
    export = _parsed(ExportLogsServiceRequest, body)
    scopes = ((each, scope, scope.log_records) for each in export.resource_logs for scope in each.scope_logs)
    return _read(scopes, lambda record: checked_log(_log(record)))


def count_points(body: bytes) -> int:
    """Return how many data points were posted to `/v1/metrics`. Raises as `read_spans` does."""
    export = _parsed(ExportMetricsServiceRequest, body)
    metrics = (metric for each in export.resource_metrics for scope in each.scope_metrics for metric in scope.metrics)
    return sum(
        len(getattr(metric, kind).data_points) for metric in metrics for kind in _POINTS if metric.HasField(kind)
    )


def _parsed(kind: Any, body: bytes) -> Any:
    _count(memoryview(body), 0, 0)
    try:
        return kind.FromString(body)
    except DecodeError:
        raise ValueError("the body is not the protobuf message that is posted here") from None


def _read(scopes: Iterable[tuple[Any, Any, Any]], read: Callable[[Any], T]) -> Exported[T]:
    exported = Exported[T]()
    for each, scope, records in scopes:
        if len(exported.records) + exported.rejected + len(records) > MAX_RECORDS:
            raise TooMany
        source = Source(_attributes(each.resource.attributes), scope.scope.name)
        for record in records:
            try:
                exported.records.append((source, read(record)))
            except BadRecord as error:
                exported.reject(str(error))
    return exported


def _span(span: Any) -> Span:
    return Span(
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        failed=span.status.code == _ERROR,
        message=span.status.message,
        attributes=_attributes(span.attributes),
        moments=[Moment(each.time_unix_nano, each.name, _attributes(each.attributes)) for each in span.events],
    )


def _log(record: Any) -> LogRecord:
    return LogRecord(
        name=record.event_name,
        time=record.time_unix_nano or record.observed_time_unix_nano,
        severity=record.severity_number,
        severity_text=record.severity_text,
        body=_value(record.body),
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
        attributes=_attributes(record.attributes),
    )


def _attributes(pairs: Any, depth: int = 0) -> Attributes:
    return {pair.key: _value(pair.value, depth) for pair in pairs}


def _value(value: Any, depth: int = 0) -> Value:
    if depth > MAX_DEPTH:
        raise BadRecord(f"a value is nested deeper than {MAX_DEPTH} levels")
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(item, depth + 1) for item in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values, depth + 1)
        case "bytes_value":
            return b64encode(value.bytes_value).decode()
        case kind:
            plain: Value = getattr(value, kind)
            return plain


def _count(message: memoryview, level: int, counted: int) -> int:
    """Count the records before they are parsed: an empty one is two bytes here and two hundred as an object.

    :raises TooMany: there are more than are taken at a time
    :raises ValueError: it is no protobuf
    """
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        wire = tag & 7
        if wire == _LENGTH_DELIMITED:
            size, position = _varint(message, position)
            if tag >> 3 == _TO_RECORDS[level]:
                counted += 1
                if counted > MAX_RECORDS + _MAX_CONTAINERS:
                    raise TooMany
                if level < len(_TO_RECORDS) - 1:
                    counted = _count(message[position : position + size], level + 1, counted)
            position += size
        elif wire in _FIXED:
            position += _FIXED[wire]
        elif wire == 0:
            _, position = _varint(message, position)
        else:
            raise ValueError("the body is not protobuf")
    return counted


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if position >= len(message):
            raise ValueError("the protobuf message is cut short")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("the body is not protobuf")
