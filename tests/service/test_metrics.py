from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reqscope.bus import Event
from reqscope.bus.requestdurations import BOUNDARIES
from reqscope.bus.routestats import MAX_ROUTES, OTHER
from reqscope.service import Monitor, Settings
from reqscope.service.metrics import metrics_router, prefers_openmetrics
from reqscope.service.pipeline import Pipeline
from reqscope.service.stream import Streams, stream_router

from .conftest import Site, client, serving, until

pytestmark = pytest.mark.anyio

DURATION = "http_server_request_duration_seconds"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 3 sends."""

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(Settings(log="none", capacity=100))


@pytest.fixture
async def api(site: Site, pipeline: Pipeline) -> AsyncIterator[httpx.AsyncClient]:
    streams = Streams(pipeline.bus)
    app = FastAPI()
    capture = {"ignored": 3, "skipped": 2, "capturing": False, "kinds": {"send: ValueError": 4, "end: K\x1b": 1}}
    app.include_router(stream_router(streams))
    app.include_router(metrics_router(pipeline, lambda: capture, streams, lambda: 5))
    async with site.client(app) as http:
        yield http
        streams.close()


def publish(pipeline: Pipeline, count: int = 1, **fields: Any) -> None:
    for _ in range(count):
        usual: dict[str, Any] = {"total": 0.02, "method": "GET", "status": 200}
        pipeline.bus.publish(Event(time=0, **usual | fields))


async def families(http: httpx.AsyncClient, accept: str = "", path: str = "/metrics") -> list[Metric]:
    """Scrape, and read the answer as the format that it says it is."""
    answer = await http.get(path, headers={"accept": accept})
    assert answer.status_code == 200
    if answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8":
        return list(read_openmetrics(answer.text))  # type: ignore[no-untyped-call]  # theirs
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return list(read_text(answer.text))


def samples(metrics: Iterable[Metric]) -> Samples:
    found: Samples = {}
    for metric in metrics:
        for sample in metric.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, "a series must not come twice"
            found[key] = sample.value
    return found


async def scrape(http: httpx.AsyncClient, accept: str = "", path: str = "/metrics") -> Samples:
    return samples(await families(http, accept, path))


def of(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


@pytest.mark.parametrize("accept", ["", OPENMETRICS, PROMETHEUS])
async def test_durations_are_a_histogram_with_the_boundaries_of_opentelemetry(
    api: httpx.AsyncClient, pipeline: Pipeline, accept: str
) -> None:
    for total in (0.005, 0.0051, 0.3, 11.0):
        publish(pipeline, total=total, method="POST", route="/items/{id}", status=201)
    found = await scrape(api, accept)

    labels = {"http_request_method": "POST", "http_route": "/items/{id}", "http_response_status_code": "201"}
    buckets = {dict(key[1])["le"]: value for key, value in found.items() if key[0] == f"{DURATION}_bucket"}
    assert [float(bound) for bound in buckets] == [*BOUNDARIES, float("inf")]
    assert list(buckets.values()) == [1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 4]
    assert of(found, f"{DURATION}_count", **labels) == 4
    assert of(found, f"{DURATION}_sum", **labels) == pytest.approx(11.3101)


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
@pytest.mark.parametrize(
    "route",
    ['/a"b', "/a\\b", "/a\\", "/a\nb", '/{x="1"}', "/a,b 1.0 # EOF", "/世界 🎉", "/\x1b[31m", "/\ud800", "/\u202ea"],
)
async def test_a_hostile_route_stays_a_label(
    api: httpx.AsyncClient, pipeline: Pipeline, accept: str, route: str
) -> None:
    publish(pipeline, route=route)
    found = await scrape(api, accept)

    (shown,) = {dict(labels)["http_route"] for name, labels in found if name == f"{DURATION}_count"}
    hidden = "\n\x1b\ud800\u202e"
    assert shown == "".join(
        character
        if character not in hidden
        else (f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}")
        for character in route
    )


async def test_routes_have_a_bound_and_so_have_methods(api: httpx.AsyncClient, pipeline: Pipeline) -> None:
    pipeline.stats.count(
        [
            Event(time=0, total=0.1, status=200, method=f"M{number}", route=f"/{number}")
            for number in range(MAX_ROUTES + 100)
        ]
    )
    found = await scrape(api)

    counts = {labels: value for (name, labels), value in found.items() if name == f"{DURATION}_count"}
    assert len(counts) == MAX_ROUTES + 1
    assert {dict(labels)["http_request_method"] for labels in counts} == {"_OTHER"}
    assert [value for labels, value in counts.items() if dict(labels)["http_route"] == OTHER] == [100]


async def test_all_are_counted_whatever_is_thinned_out_or_evicted(api: httpx.AsyncClient, pipeline: Pipeline) -> None:
    async with pipeline.running():
        for _ in range(30):
            publish(pipeline, 50)
            for _ in range(10):
                pipeline.bus.thin(Event(time=0, total=0.02, method="GET", status=200))
            await scrape(api)
        found = await scrape(api)

    labels = {"http_request_method": "GET", "http_route": "", "http_response_status_code": "200"}
    assert of(found, f"{DURATION}_count", **labels) == 1_800
    assert of(found, "reqscope_events_published_total") == 1_500
    assert of(found, "reqscope_events_thinned_total") == 300
    assert of(found, "reqscope_ring_events") == 100
    assert of(found, "reqscope_ring_evicted_events_total") == 1_400


async def test_a_scrape_is_of_one_moment(api: httpx.AsyncClient, pipeline: Pipeline) -> None:
    async with pipeline.running(), anyio.create_task_group() as tasks:

        async def work() -> None:
            while True:
                publish(pipeline, 7)
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(work)
        for _ in range(10):
            found = await scrape(api)
            published = of(found, "reqscope_events_published_total")
            kept, evicted = of(found, "reqscope_ring_events"), of(found, "reqscope_ring_evicted_events_total")
            assert published == kept + evicted
            delivered = of(found, "reqscope_events_delivered_total", reader="stats")
            dropped = of(found, "reqscope_events_dropped_total", reader="stats", reason="missed")
            assert published == delivered + dropped + of(found, "reqscope_events_pending", reader="stats")
            assert delivered == sum(value for (name, _), value in found.items() if name == f"{DURATION}_count")
        tasks.cancel_scope.cancel()


async def test_readers_of_one_name_are_added_up_and_a_stream_that_ends_takes_no_count_with_it(
    api: httpx.AsyncClient, pipeline: Pipeline
) -> None:
    bus = pipeline.bus
    async with api.stream("GET", "/api/events/stream"):
        await until(lambda: len(bus.statistics().readers) == 1, "the stream")
        async with bus.subscribe(name="mine") as first, bus.subscribe(name="mine"):
            publish(pipeline, 4)
            await first.receive()
            await until(lambda: bus.statistics().readers[0].pending == 0, "the stream's batch")
            found = await scrape(api)
    assert of(found, "reqscope_events_delivered_total", reader="mine") == 4
    assert of(found, "reqscope_events_pending", reader="mine") == 4
    assert of(found, "reqscope_events_delivered_total", reader="stream") == 4
    assert of(found, "reqscope_streams") == 1
    await until(lambda: not bus.statistics().readers, "the end of the stream")

    found = await scrape(api)
    assert of(found, "reqscope_events_delivered_total", reader="stream") == 4
    assert of(found, "reqscope_streams") == 0


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_what_the_monitor_says_of_itself_is_there(
    api: httpx.AsyncClient, pipeline: Pipeline, accept: str
) -> None:
    pipeline.bus.close()
    publish(pipeline, 6)
    found = await scrape(api, accept)

    assert of(found, "reqscope_internal_errors_total", kind="send: ValueError") == 4
    assert of(found, "reqscope_internal_errors_total", kind="end: K\\x1b") == 1
    assert of(found, "reqscope_capturing") == 0
    assert of(found, "reqscope_requests_ignored_total") == 3
    assert of(found, "reqscope_requests_skipped_total") == 2
    assert of(found, "reqscope_viewers") == 5
    assert of(found, "reqscope_events_refused_total") == 6
    assert of(found, "reqscope_loop_lag_seconds") >= 0
    assert of(found, "reqscope_ring_capacity_bytes") == 64 << 20
    assert of(found, "reqscope_events_dropped_total", reader="failures", reason="lost") == 0


@pytest.mark.guarantees("F9")
async def test_a_sink_that_cannot_write_is_seen(site: Site) -> None:
    pipeline = Pipeline(Settings(log="file", log_file=Path("/dev/full")))
    app = FastAPI()
    app.include_router(metrics_router(pipeline, dict, Streams(pipeline.bus)))
    async with site.client(app) as api, pipeline.running():
        publish(pipeline, 3)
        await until(lambda: pipeline.sinks[0].statistics().lost == 3, "the loss")
        found = await scrape(api)

    name = "file:/dev/full"
    assert of(found, "reqscope_events_dropped_total", reader=f"sink:{name}", reason="lost") == 3
    assert of(found, "reqscope_events_dropped_total", reader=f"sink:{name}", reason="missed") == 0
    assert of(found, "reqscope_sink_written_events_total", sink=name) == 0
    assert of(found, "reqscope_sink_failing", sink=name) == 1


async def test_every_metric_has_a_type_and_says_what_it_is(api: httpx.AsyncClient, pipeline: Pipeline) -> None:
    publish(pipeline)
    for metric in await families(api, OPENMETRICS):
        assert metric.type != "unknown"
        assert metric.documentation.endswith(".")


@pytest.mark.parametrize(
    ("accept", "preferred"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        (OPENMETRICS, True),
        (PROMETHEUS, True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.5", False),
        ("TEXT/plain;q=0.5 , Application/OpenMetrics-Text ; q=0.9", True),
        ("application/openmetrics-text; version=never", True),
        ("application/openmetrics-text;q=much", False),
        (",;;,=", False),
    ],
)
async def test_the_format_is_the_one_that_is_asked_for(api: httpx.AsyncClient, accept: str, preferred: bool) -> None:
    assert prefers_openmetrics(accept) is preferred
    answer = await api.get("/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics") is preferred
    assert answer.text.endswith("# EOF\n") is preferred


@pytest.mark.guarantees("F39")
@pytest.mark.parametrize("capture_panel", [False, True])
async def test_the_monitor_does_not_count_its_own_scrapes_unless_told_to_watch_itself(capture_panel: bool) -> None:
    app = Starlette()
    monitor = Monitor(app, settings=Settings(capture_panel=capture_panel))
    async with serving(app, lifespan="on") as url, client(url) as http:
        await http.get("/nowhere")
        for _ in range(2):
            await scrape(http, path="/reqscope/metrics")
        found = await scrape(http, path="/reqscope/metrics")

        counted = sum(value for (name, _), value in found.items() if name == f"{DURATION}_count")
        assert counted == (3 if capture_panel else 1)
        assert of(found, "reqscope_requests_ignored_total") == (0 if capture_panel else 3)
        assert asdict(monitor.bus.ring.statistics())["published"] == (4 if capture_panel else 1)


async def test_what_is_in_flight_is_counted_as_long_as_it_is() -> None:
    begun, go_on = anyio.Event(), anyio.Event()

    async def slow(request: Request) -> Response:
        begun.set()
        await go_on.wait()
        return Response()

    app = Starlette(routes=[Route("/slow", slow)])
    Monitor(app)
    async with serving(app, lifespan="on") as url, client(url) as http:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(http.get, f"{url}/slow")
            await begun.wait()
            assert of(await scrape(http, path="/reqscope/metrics"), "http_server_active_requests") == 1
            go_on.set()
        assert of(await scrape(http, path="/reqscope/metrics"), "http_server_active_requests") == 0
