"""What real exporters send from a process of their own."""

import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.responses import PlainTextResponse

from reqscope.bus import Event, EventBus
from reqscope.bus.filters import Filter
from reqscope.bus.schema import detail
from reqscope.bus.tracelines import trace_lines
from reqscope.service.ingest import DataPlane
from reqscope.service.otlp import OtlpCounts

from .conftest import DEADLINE, serving

pytestmark = pytest.mark.anyio

APP = Path(__file__).with_name("otlp_app.py")


async def export(bus: EventBus, how: str) -> tuple[dict[str, Event], OtlpCounts]:
    """Have the application in `otlp_app.py` export to `bus`; return its requests by path."""
    counts = OtlpCounts()
    async with serving(DataPlane(PlainTextResponse("app"), bus, exported=counts)) as url:
        with anyio.fail_after(2 * DEADLINE):
            done = await anyio.run_process([sys.executable, "-W", "ignore", str(APP), how, url], check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b"export" not in done.stderr.lower()  # an exporter that was refused something says so there
    events = bus.ring.since(0).events
    return {event.path: event for event in events if event.kind == "request"}, counts


def shown(bus: EventBus, event: Event) -> Any:
    return detail(event, bus.boot, trace_lines(bus.ring, event))


class TestInstrumented:
    async def test_the_sdk_with_old_names_gzip_and_a_log_handler_is_understood_and_found(self, bus: EventBus) -> None:
        requests, counts = await export(bus, "instrumented")

        assert [(event.method, event.route, event.status) for event in requests.values()] == [
            ("GET", "/items/{item}", 200),
            ("GET", "/items/{item}", 422),
            ("GET", "/fails", 500),
        ]
        first = requests["/items/3"]
        assert (first.service, first.client, first.http_version) == ("shop", "testclient", "1.1")
        assert dict(first.request_headers) == {b"host": b"shop.example", b"user-agent": b"visitor/1"}
        assert first.total is not None
        assert 0 < first.total < DEADLINE
        assert b"page=2" in first.query
        assert b"s3cretvalue" not in first.query
        assert b'"service.version":"1.2"' in first.attributes

        failure = requests["/fails"].failure
        assert failure is not None
        assert (failure.type, failure.message) == ("ZeroDivisionError", "on purpose")
        assert failure.traceback.rstrip().endswith("ZeroDivisionError: on purpose")
        assert [(group.type, group.route) for group in bus.failures.latest()] == [("ZeroDivisionError", "/fails")]

        (line,) = shown(bus, first).logs
        assert (line.level, line.logger, line.service) == ("warning", "shop.stock", "shop")
        assert line.message.startswith("looked at item 3, password=[redacted]")
        assert (counts.requests, counts.log_lines, counts.rejected_spans) == (3, 1, 0)
        assert counts.other_spans >= 3  # those of the instrumentation's own sends
        assert counts.metric_points > 0

        def found(text: str) -> list[tuple[str, str]]:
            passes = Filter.parse(text)
            return [(each.kind, each.path) for each in bus.ring.since(0).events if passes(each)]

        assert sorted(found(f"trace:{first.trace_id}")) == [("log", ""), ("request", "/items/3")]
        assert len(found("service:shop")) == 4
        assert found("level:warning kind:log") == [("log", "")]
        assert found('service:other OR body~"hunter22"') == []


class TestNative:
    async def test_fastapi_that_configures_itself_needs_nothing_but_the_address(self, bus: EventBus) -> None:
        requests, counts = await export(bus, "native")

        assert [(event.method, event.route, event.status) for event in requests.values()] == [
            ("GET", "/items/{item}", 200),
            ("GET", "/items/{item}", 422),
            ("GET", "/fails", 500),
        ]
        assert requests["/items/3"].service == "shop"
        assert b"s3cretvalue" not in requests["/items/3"].query
        assert requests["/fails"].error == "ZeroDivisionError"
        assert [line.message for line in shown(bus, requests["/items/x"]).logs] == ["Request validation failed"]
        (line,) = shown(bus, requests["/fails"]).logs
        assert (line.level, line.message) == (
            "error",
            "Unhandled exception in FastAPI request (ZeroDivisionError: on purpose)",
        )
        (group,) = bus.failures.latest()
        assert (group.type, group.route, group.count) == ("ZeroDivisionError", "/fails", 1)
        assert (counts.requests, counts.log_lines) == (3, 2)
        assert counts.other_spans > 0
