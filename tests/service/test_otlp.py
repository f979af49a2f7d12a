import gzip
import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from reqscope.bus import EventBus
from reqscope.service import Redaction
from reqscope.service.faults import Faults
from reqscope.service.ingest import MAX_BATCH, DataPlane
from reqscope.service.otlp import NotOtlp, OtlpCounts, Receiver
from reqscope.service.sealed import Gate

from .conftest import Site, published

pytestmark = pytest.mark.anyio

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json; charset=utf-8"}
PATHS = ["/v1/traces", "/v1/logs", "/v1/metrics"]
TRACE, SPAN = bytes(range(1, 17)), bytes(range(1, 9))
SECOND = 1_000_000_000


@pytest.fixture
def counts() -> OtlpCounts:
    return OtlpCounts()


@pytest.fixture
def plane(bus: EventBus, counts: OtlpCounts) -> ASGIApp:
    return DataPlane(PlainTextResponse("app"), bus, Redaction(), exported=counts)


def json_value(value: object) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [json_value(each) for each in value]}}
        case dict():
            return {"kvlistValue": {"values": pairs(value)}}
        case _:
            return {"stringValue": value}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": json_value(value)} for key, value in attributes.items()]


def json_span(**more: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE.hex(),
        "spanId": SPAN.hex(),
        "name": "GET /items/{id}",
        "kind": 2,
        "startTimeUnixNano": str(SECOND),
        "endTimeUnixNano": str(3 * SECOND),
        "attributes": pairs({"http.request.method": "GET", "url.path": "/items/1", "http.response.status_code": 200}),
        **more,
    }


def json_export(*spans: object, resource: dict[str, Any] | None = None) -> bytes:
    scope = {"scope": {"name": "lib"}, "spans": spans}
    return json.dumps(
        {"resourceSpans": [{"resource": {"attributes": pairs(resource or {})}, "scopeSpans": [scope]}]}
    ).encode()


def json_logs(*records: object) -> bytes:
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"scope": {"name": "shop"}, "logRecords": records}]}]}).encode()


def protobuf_spans(*kinds: int) -> ExportTraceServiceRequest:
    export = ExportTraceServiceRequest()
    each = export.resource_spans.add()
    scope = each.scope_spans.add()
    for number, kind in enumerate(kinds, 1):
        span = scope.spans.add(trace_id=TRACE, span_id=SPAN, name=f"span {number}", kind=kind)
        span.start_time_unix_nano, span.end_time_unix_nano = SECOND, 2 * SECOND
    return export


class TestTraces:
    @pytest.mark.parametrize("packed", [False, True])
    async def test_a_server_span_in_protobuf_is_a_request_and_others_are_counted(
        self, site: Site, plane: ASGIApp, bus: EventBus, counts: OtlpCounts, packed: bool
    ) -> None:
        export = protobuf_spans(2, 1, 3)
        body = export.SerializeToString()
        headers = PROTOBUF | ({"content-encoding": "gzip"} if packed else {})
        async with site.client(plane) as client:
            answer = await client.post("/v1/traces", content=gzip.compress(body) if packed else body, headers=headers)
        (event,) = await published(bus)

        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
        assert ExportTraceServiceResponse.FromString(answer.content) == ExportTraceServiceResponse()
        assert (event.kind, event.route, event.time, event.total) == ("request", "span 1", SECOND, 1.0)
        assert (event.trace_id, event.span_id) == (TRACE.hex(), SPAN.hex())
        assert counts == OtlpCounts(requests=1, other_spans=2)

    async def test_both_encodings_of_a_span_give_the_same_event(
        self, site: Site, plane: ASGIApp, bus: EventBus
    ) -> None:
        values = {"text": "x", "yes": True, "n": -5, "f": 0.5, "list": ["a", 1], "map": {"k": "v"}}
        export = protobuf_spans(2)
        span = export.resource_spans[0].scope_spans[0].spans[0]
        for key, value in values.items():
            fill(span.attributes.add(key=key).value, value)
        as_json = json_export(json_span(name="span 1", endTimeUnixNano=2 * SECOND, attributes=pairs(values)))
        async with site.client(plane) as client:
            await client.post("/v1/traces", content=export.SerializeToString(), headers=PROTOBUF)
            await client.post("/v1/traces", content=as_json.replace(b'"lib"', b'""'), headers=JSON)
        one, other = await published(bus, 2)

        assert json.loads(one.attributes)["attributes"] == values
        assert (one.attributes, one.route, one.total) == (other.attributes, other.route, other.total)

    async def test_a_span_that_makes_no_sense_is_rejected_and_costs_no_other(
        self, site: Site, plane: ASGIApp, bus: EventBus, counts: OtlpCounts
    ) -> None:
        bad = [
            {"kind": "SERVER"},
            json_span(traceId="0" * 32),
            json_span(spanId="xyz"),
            json_span(endTimeUnixNano="-1"),
            7,
        ]
        export = protobuf_spans(2, 2)
        export.resource_spans[0].scope_spans[0].spans[0].trace_id = b"short"
        async with site.client(plane) as client:
            as_json = await client.post("/v1/traces", content=json_export(json_span(), *bad), headers=JSON)
            as_protobuf = await client.post("/v1/traces", content=export.SerializeToString(), headers=PROTOBUF)

        assert (as_json.status_code, as_json.headers["content-type"]) == (200, "application/json")
        partial = as_json.json()["partialSuccess"]
        assert partial["rejectedSpans"] == "5"
        assert "kind" in partial["errorMessage"]
        response = ExportTraceServiceResponse.FromString(as_protobuf.content)
        assert response.partial_success.rejected_spans == 1
        assert "trace_id of 16 bytes" in response.partial_success.error_message
        assert counts == OtlpCounts(requests=2, rejected_spans=6)
        assert bus.ring.last == 2

    async def test_an_export_of_which_nothing_can_be_taken_is_refused_and_seen(
        self, site: Site, plane: ASGIApp, bus: EventBus, counts: OtlpCounts
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post("/v1/traces", content=json_export(json_span(traceId="")), headers=JSON)
        (event,) = await published(bus)

        assert answer.status_code == 400
        assert "none of the 1 records" in answer.json()["message"]
        assert (event.path, event.status) == ("/v1/traces", 400)
        assert counts.rejected_spans == 1

    @pytest.mark.guarantees("43")
    async def test_secrets_are_masked_wherever_a_span_may_hold_them(
        self, site: Site, plane: ASGIApp, bus: EventBus
    ) -> None:
        secret = "s3cret-value-42"
        attributes = {
            "http.request.method": "GET",
            "url.full": f"https://u:{secret}@x.example/a?token={secret}",
            "http.request.header.authorization": [f"Bearer {secret}"],
            "http.response.header.set-cookie": [f"session={secret}; Path=/"],
            "user": {"password": secret},
        }
        raised = {
            "exception.type": "E",
            "exception.message": f"password={secret}",
            "exception.stacktrace": f'  File "x.py", line 3, in f\nE: password={secret}',
        }
        moment = {"name": "exception", "attributes": pairs(raised)}
        export = json_export(
            json_span(
                attributes=pairs(attributes), events=[moment], status={"code": 2, "message": f"api_key={secret}"}
            ),
            resource={"service.name": "shop", "api.key": secret},
        )
        async with site.client(plane) as client:
            await client.post("/v1/traces", content=export, headers=JSON)
        (event,) = await published(bus)

        assert (event.scheme, event.path, event.error) == ("https", "/a", "E")
        assert event.failure is not None
        assert secret not in repr(event)
        assert dict(event.request_headers)[b"host"] == b"x.example"


def fill(target: Any, value: object) -> None:
    match value:
        case bool():
            target.bool_value = value
        case int():
            target.int_value = value
        case float():
            target.double_value = value
        case list():
            for each in value:
                fill(target.array_value.values.add(), each)
        case dict():
            for key, each in value.items():
                fill(target.kvlist_value.values.add(key=key).value, each)
        case _:
            target.string_value = value


class TestLogs:
    async def test_a_log_record_in_protobuf_is_a_line_with_its_trace(
        self, site: Site, plane: ASGIApp, bus: EventBus, counts: OtlpCounts
    ) -> None:
        export = ExportLogsServiceRequest()
        each = export.resource_logs.add()
        fill(each.resource.attributes.add(key="service.name").value, "shop")
        record = each.scope_logs.add().log_records.add(trace_id=TRACE, span_id=SPAN, severity_number=17)
        record.time_unix_nano, record.body.string_value = SECOND, "sold out, token=abcdef123"
        async with site.client(plane) as client:
            answer = await client.post("/v1/logs", content=export.SerializeToString(), headers=PROTOBUF)
        (event,) = await published(bus)

        assert ExportLogsServiceResponse.FromString(answer.content) == ExportLogsServiceResponse()
        assert (event.kind, event.severity, event.service, event.trace_id) == ("log", "error", "shop", TRACE.hex())
        assert event.body.startswith(b"sold out, token=[redacted]")
        assert (event.logs[0].level, event.logs[0].time) == ("error", SECOND)
        assert counts == OtlpCounts(log_lines=1)

    @pytest.mark.parametrize(
        ("record", "level", "message"),
        [
            ({"severityNumber": 1, "body": json_value("x")}, "trace", "x"),
            ({"severityNumber": 10, "body": json_value({"a": [1]})}, "info", '{"a":[1]}'),
            ({"severityNumber": 16, "eventName": "sold"}, "warning", "sold"),
            ({"severityNumber": 24, "body": None}, "critical", ""),
            ({"severityNumber": 99, "severityText": "WARN", "body": json_value(7)}, "warning", "7"),
            ({"severityText": "Notice"}, "info", ""),
            (
                {
                    "severityNumber": 17,
                    "body": json_value("no"),
                    "attributes": pairs({"exception.type": "a.B", "exception.message": "c"}),
                },
                "error",
                "no (B: c)",
            ),
        ],
    )
    async def test_a_record_in_json_has_a_level_and_a_message(
        self, site: Site, plane: ASGIApp, bus: EventBus, record: dict[str, Any], level: str, message: str
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post("/v1/logs", content=json_logs(record), headers=JSON)
        (event,) = await published(bus)

        assert (answer.status_code, answer.json()) == (200, {})
        assert (event.logs[0].level, event.logs[0].message, event.logs[0].logger) == (level, message, "shop")
        assert event.trace_id == ""


class TestMetrics:
    async def test_points_are_counted_and_the_answer_says_that_none_is_kept(
        self, site: Site, plane: ASGIApp, bus: EventBus, counts: OtlpCounts
    ) -> None:
        export = ExportMetricsServiceRequest()
        scope = export.resource_metrics.add().scope_metrics.add()
        scope.metrics.add(name="a").gauge.data_points.add(as_int=1)
        scope.metrics.add(name="b").sum.data_points.extend([scope.metrics[0].gauge.data_points[0]] * 2)
        as_json = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[{}]}}]}]}]}'
        async with site.client(plane) as client:
            first = await client.post("/v1/metrics", content=export.SerializeToString(), headers=PROTOBUF)
            second = await client.post("/v1/metrics", content=as_json, headers=JSON)

        partial = ExportMetricsServiceResponse.FromString(first.content).partial_success
        assert (first.status_code, partial.rejected_data_points) == (200, 3)
        assert "OTEL_METRICS_EXPORTER=none" in partial.error_message
        assert second.json()["partialSuccess"]["rejectedDataPoints"] == "1"
        assert counts.metric_points == 4
        assert bus.ring.last == 0


class TestRefusals:
    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("body", [b"x", b"\x0a\xff", b"\x0b", b"\x0a\x02\x12"], ids=repr)
    async def test_what_is_no_protobuf_is_refused_with_a_status_message(
        self, site: Site, plane: ASGIApp, path: str, body: bytes
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post(path, content=body, headers=PROTOBUF)

        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/x-protobuf")
        assert b"protobuf" in answer.content
        assert answer.content[0] == 0x12  # field 2 of google.rpc.Status, its message
        assert answer.content[1] == len(answer.content) - 2

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"\xff", b'{"resourceSpans":1,"resourceLogs":1,"resourceMetrics":1}', b"[" * 100_000],
        ids=range(6),
    )
    async def test_what_is_no_otlp_in_json_is_refused_in_json(
        self, site: Site, plane: ASGIApp, path: str, body: bytes
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post(path, content=body, headers=JSON)

        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
        assert answer.json()["message"]

    @pytest.mark.parametrize("path", PATHS)
    async def test_another_type_encoding_or_method_is_refused_with_what_is_taken(
        self, site: Site, plane: ASGIApp, path: str
    ) -> None:
        async with site.client(plane) as client:
            kind = await client.post(path, content=b"", headers={"content-type": "text/plain"})
            encoding = await client.post(path, content=b"", headers=JSON | {"content-encoding": "br"})
            method = await client.get(path)

        assert (kind.status_code, encoding.status_code, method.status_code) == (415, 415, 405)
        assert "application/x-protobuf or application/json" in kind.json()["detail"]
        assert "gzip" in encoding.json()["message"]
        assert method.headers["allow"] == "POST"

    @pytest.mark.guarantees("66")
    @pytest.mark.parametrize("headers", [PROTOBUF, JSON], ids=["protobuf", "JSON"])
    async def test_what_is_too_large_packed_or_unpacked_is_refused(
        self, site: Site, plane: ASGIApp, headers: dict[str, str]
    ) -> None:
        async with site.client(plane) as client:
            plain = await client.post("/v1/traces", content=bytes(MAX_BATCH + 1), headers=headers)
            packed = gzip.compress(bytes(MAX_BATCH + 1))
            bomb = await client.post("/v1/traces", content=packed, headers=headers | {"content-encoding": "gzip"})

        assert (plain.status_code, bomb.status_code) == (413, 413)

    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            (protobuf_spans(*[2] * 10_001).SerializeToString(), PROTOBUF),
            (b"\x0a\x00" * 100_000, PROTOBUF),
            (json_export(*[{}] * 10_001), JSON),
            (b'{"resourceSpans":[' + b"{}," * 600_000 + b"{}]}", JSON),
        ],
        ids=["spans", "empty resources", "JSON", "empty resources in JSON"],
    )
    async def test_too_many_records_are_refused_before_they_take_memory(
        self, site: Site, plane: ASGIApp, body: bytes, headers: dict[str, str]
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post("/v1/traces", content=body, headers=headers)

        assert answer.status_code == 413
        assert b"10000 records" in answer.content

    @pytest.mark.guarantees("10")
    async def test_depth_costs_the_record_that_has_it(self, site: Site, plane: ASGIApp, counts: OtlpCounts) -> None:
        deep: Any = "x"
        for _ in range(70):
            deep = [deep]
        export = json_export(json_span(), json_span(attributes=pairs({"deep": deep})))
        async with site.client(plane) as client:
            answer = await client.post("/v1/traces", content=export, headers=JSON)

        assert "deeper than 64" in answer.json()["partialSuccess"]["errorMessage"]
        assert counts == OtlpCounts(requests=1, rejected_spans=1)


def test_without_the_extra_protobuf_is_refused_with_its_name_and_json_is_taken() -> None:
    code = """
import sys
sys.modules["google.protobuf"] = sys.modules["opentelemetry.proto"] = None  # as if they were not installed
import anyio
from reqscope.service import Redaction
from reqscope.service.faults import Faults
from reqscope.service.otlp import NotOtlp, Receiver
from reqscope.service.sealed import Gate

async def main():
    receiver = Receiver(Gate(Redaction(), Faults()))
    try:
        await receiver.receive("/v1/traces", "application/x-protobuf", b"")
    except NotOtlp as error:
        print(error.status, error)
    print((await receiver.receive("/v1/traces", "application/json", b"{}")).answer)

anyio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    refused, taken = done.stdout.splitlines()
    assert refused.startswith("415 ")
    assert "pip install 'reqscope[otlp]'" in refused
    assert taken == "b'{}'"


KEYS = [
    "resourceSpans",
    "scopeSpans",
    "spans",
    "resourceLogs",
    "scopeLogs",
    "logRecords",
    "body",
    "attributes",
    "key",
    "value",
    "kvlistValue",
    "values",
    "kind",
    "traceId",
]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)
KNOWN = [
    "http.method",
    "http.status_code",
    "http.url",
    "http.target",
    "url.path",
    "http.route",
    "server.port",
    "http.host",
    "http.request.header.x",
    "error.type",
    "url.scheme",
    "client.address",
]
VALUES = st.text(max_size=20) | st.integers(-(1 << 63), (1 << 63) - 1) | st.lists(st.text(max_size=5), max_size=3)
KINDS = ["application/x-protobuf", "application/json"]


def mutated(data: st.DataObject, body: bytes) -> bytes:
    """A sound body with a few bytes changed, dropped or put in."""
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    return bytes(changed)


def full_export() -> bytes:
    export = protobuf_spans(2)
    span = export.resource_spans[0].scope_spans[0].spans[0]
    fill(export.resource_spans[0].resource.attributes.add(key="service.name").value, "shop")
    for key, value in {"http.method": "GET", "http.url": "http://x/a?b=c", "http.status_code": 500}.items():
        fill(span.attributes.add(key=key).value, value)
    fill(span.events.add(name="exception").attributes.add(key="exception.type").value, "ValueError")
    body: bytes = export.SerializeToString()
    return body


class TestFuzz:
    """Whatever bytes come, they are taken or refused, and nothing else gets out of the reader."""

    def receive(self, path: str, content_type: str, body: bytes) -> None:
        faults = Faults()
        try:
            received = Receiver(Gate(Redaction(), faults)).read(path, content_type, body)
        except NotOtlp as refusal:
            assert refusal.status in (400, 413)  # noqa: PT017 - that it is raised is not asked for
        else:
            assert all(event.size for event in received.events)
        assert faults.statistics().total == 0

    @given(body=st.binary(max_size=200), path=st.sampled_from(PATHS), kind=st.sampled_from(KINDS))
    def test_any_bytes(self, body: bytes, path: str, kind: str) -> None:
        self.receive(path, kind, body)

    @given(data=st.data(), path=st.sampled_from(PATHS))
    def test_bytes_that_were_a_sound_export(self, data: st.DataObject, path: str) -> None:
        self.receive(path, "application/x-protobuf", mutated(data, full_export()))

    @given(data=st.data())
    def test_json_that_was_a_sound_export(self, data: st.DataObject) -> None:
        self.receive("/v1/traces", "application/json", mutated(data, json_export(json_span())))

    @given(value=JSON_VALUES, path=st.sampled_from(PATHS))
    def test_json_of_the_wrong_shape(self, value: object, path: str) -> None:
        self.receive(path, "application/json", json.dumps(value).encode())

    @given(attributes=st.dictionaries(st.sampled_from(KNOWN), VALUES))
    def test_values_of_any_kind_under_the_names_that_are_known(self, attributes: dict[str, Any]) -> None:
        self.receive("/v1/traces", "application/json", json_export(json_span(attributes=pairs(attributes))))


async def test_an_answer_over_http_is_never_a_5xx(site: Site, plane: ASGIApp) -> None:
    async with site.client(plane) as client:
        answers: list[httpx.Response] = [
            await client.post(path, content=body, headers=headers)
            for path in PATHS
            for headers in (PROTOBUF, JSON, {})
            for body in (b"", b"\x00", full_export()[:-3], full_export(), b"{}", json_export(json_span())[:-2])
        ]

    assert {answer.status_code for answer in answers} <= {200, 400, 415}
