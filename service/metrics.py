"""`/metrics`: what a Prometheus scrapes, in its own text format and as OpenMetrics."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import APIRouter, Header
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    Sample,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response

from reqscope.bus import BusStatistics, SinkStatistics
from reqscope.bus.failures import FailureStatistics
from reqscope.bus.looplag import LagSnapshot
from reqscope.bus.requestdurations import BOUNDARIES, DurationSeries
from reqscope.bus.visible import visible

from .pipeline import Pipeline
from .query import Statistics
from .stream import READER, Streams, StreamStatistics
from .system import version

_LABELS: Final = ("http_request_method", "http_route", "http_response_status_code")
_BOUNDS: Final = (*map(str, BOUNDARIES), "+Inf")
_AT_ONCE: Final = len(_BOUNDS) + 2
"""Samples that are written before the event loop may go on: those of one series, which take 0.2 ms."""
_GIVE_WAY: Final = 50e-6
_OPENMETRICS: Final = "application/openmetrics-text"


@dataclass(frozen=True, slots=True)
class Scrape(Collector):
    """What one scrape tells, all of one moment."""

    durations: list[DurationSeries]
    in_flight: int
    bus: BusStatistics
    sinks: Sequence[SinkStatistics]
    failures: FailureStatistics
    lag: LagSnapshot
    capture: Mapping[str, Any]
    streams: StreamStatistics
    viewers: int

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, to be done in any thread."""
        yield InfoMetricFamily(
            "reqscope", "The monitor and this life of its bus.", {"version": version("reqscope"), "boot": self.bus.boot}
        )
        yield from self._requests()
        yield from self._events()
        yield from self._readers()
        yield from self._sinks()
        yield from self._health()

    def _requests(self) -> Iterator[Metric]:
        durations = HistogramMetricFamily(
            "http_server_request_duration",
            "Time from the start of a request to the last byte of its answer, over all requests, kept or not.",
            labels=_LABELS,
            unit="seconds",
        )
        for series in self.durations:
            labels = (series.method, series.route, series.status)
            durations.add_metric(labels, list(zip(_BOUNDS, series.cumulative, strict=True)), series.total)
            _give_way()
        durations.samples = _Samples(durations.samples)
        yield durations
        yield _gauge(
            "http_server_active_requests", "Requests and WebSockets that have begun and not ended.", self.in_flight
        )

    def _events(self) -> Iterator[Metric]:
        ring = self.bus.ring
        yield _counter("reqscope_events_published", "Events put on the bus.", ring.published)
        yield _counter("reqscope_events_thinned", "Events counted and, by sampling, not kept.", self.bus.thinned)
        yield _counter(
            "reqscope_events_refused", "Events that came when the bus was closed or too far behind.", self.bus.refused
        )
        yield _gauge("reqscope_ring_events", "Events kept. Published are kept and evicted ones together.", ring.kept)
        yield _gauge("reqscope_ring_capacity_events", "Events kept at the most.", ring.capacity)
        yield _counter("reqscope_ring_evicted_events", "Events that made room for newer ones.", ring.evicted)
        yield _gauge("reqscope_ring_bytes", "Bytes that the events kept take.", ring.held_bytes)
        yield _gauge("reqscope_ring_capacity_bytes", "Bytes kept at the most.", ring.max_bytes)

    def _readers(self) -> Iterator[Metric]:
        delivered, missed, pending = Counter[str](), Counter[str](), Counter[str]()
        # Streams come and go, and a counter may not go back when one does.
        delivered[READER], missed[READER] = self.streams.ended_delivered, self.streams.ended_missed
        for reader in self.bus.readers:
            name = visible(reader.name)
            delivered[name] += reader.delivered
            missed[name] += reader.missed
            pending[name] += reader.pending
        yield _counters("reqscope_events_delivered", "Events that a reader got.", ("reader",), _keyed(delivered))
        yield _gauges("reqscope_events_pending", "Events that a reader has yet to get.", ("reader",), _keyed(pending))
        dropped = [((name, "missed"), count) for name, count in missed.items()]
        dropped += [((f"sink:{visible(sink.name)}", "lost"), sink.lost) for sink in self.sinks]
        dropped.append((("failures", "lost"), self.failures.lost))
        yield _counters(
            "reqscope_events_dropped",
            "Events that a reader missed because the ring evicted them, or that it got and lost.",
            ("reader", "reason"),
            dropped,
        )

    def _sinks(self) -> Iterator[Metric]:
        def each(value: Callable[[SinkStatistics], float]) -> list[tuple[tuple[str, ...], float]]:
            return [((visible(sink.name),), value(sink)) for sink in self.sinks]

        label = ("sink",)
        yield _counters("reqscope_sink_written_events", "Events written.", label, each(lambda sink: sink.written))
        yield _gauges("reqscope_sink_held_events", "Events yet to be written.", label, each(lambda sink: sink.held))
        yield _gauges(
            "reqscope_sink_failing", "1 where the last write failed.", label, each(lambda sink: int(sink.failing))
        )

    def _health(self) -> Iterator[Metric]:
        capture = self.capture
        kinds: Mapping[str, int] = capture.get("kinds", {})
        yield _gauge("reqscope_loop_lag_seconds", "How late the event loop is.", self.lag.now)
        yield _gauge("reqscope_loop_lag_worst_seconds", "The worst of the last five minutes.", self.lag.worst)
        yield _counter("reqscope_exceptions", "Exceptions that left the application.", self.failures.noted)
        yield _counters(
            "reqscope_internal_errors",
            "Failures of the monitor's own, by step and type.",
            ("kind",),
            [((visible(kind),), count) for kind, count in kinds.items()],
        )
        yield _gauge(
            "reqscope_capturing", "0 while too many failures keep it off.", int(capture.get("capturing", True))
        )
        yield _counter("reqscope_requests_skipped", "Requests not watched meanwhile.", capture.get("skipped", 0))
        yield _counter("reqscope_requests_ignored", "Requests to the monitor itself.", capture.get("ignored", 0))
        yield _gauge("reqscope_viewers", "Open pages of the panel.", self.viewers)
        yield _gauge("reqscope_streams", "Open event streams.", self.streams.open)


class _Samples(list[Sample]):
    """Samples that whoever goes through them gives way for."""

    def __iter__(self) -> Iterator[Sample]:
        for number, sample in enumerate(super().__iter__()):
            if not number % _AT_ONCE:
                _give_way()
            yield sample


def _give_way() -> None:
    # The event loop would wait 5 ms (sys.getswitchinterval) for a thread that works on, and that each time it wakes.
    time.sleep(_GIVE_WAY)


def metrics_router(
    pipeline: Pipeline, capture: Statistics, streams: Streams, viewers: Callable[[], int] = lambda: 0
) -> APIRouter:
    """Return the route that a Prometheus scrapes.

    A scrape looks at counts that readers keep, in one turn of the event loop, and is written in another thread.

    :param capture: the statistics of what produces events
    :param viewers: how many pages are open
    """
    router = APIRouter()

    @router.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse)
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        scrape = Scrape(
            pipeline.stats.durations(),
            len(pipeline.bus.in_flight),
            pipeline.bus.statistics(),
            [sink.statistics() for sink in pipeline.sinks],
            pipeline.bus.failures.statistics(),
            pipeline.lag.snapshot(),
            capture(),
            streams.statistics(),
            viewers(),
        )
        if prefers_openmetrics(accept):
            text, kind = await to_thread.run_sync(openmetrics.generate_latest, scrape), openmetrics.CONTENT_TYPE_LATEST
        else:
            text, kind = await to_thread.run_sync(generate_latest, scrape), CONTENT_TYPE_PLAIN_0_0_4
        return Response(text, media_type=kind, headers={"cache-control": "no-store"})

    return router


def prefers_openmetrics(accept: str) -> bool:
    """Return whether an `Accept` header (RFC 9110, section 12.5.1) names OpenMetrics, and nothing else before it.

    The library's own choice does not weigh, and fails on versions that are no numbers.
    """
    weights = dict[str, float]()
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weights[kind] = max(weights.get(kind, 0.0), _weight(parameters))
    wanted = weights.get(_OPENMETRICS, 0.0)
    return wanted > 0 and wanted >= weights.get("text/plain", 0.0)


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def _keyed(counts: Mapping[str, int]) -> list[tuple[tuple[str, ...], int]]:
    return [((name,), count) for name, count in counts.items()]


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counters(name: str, text: str, labels: Sequence[str], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for each, value in values:
        family.add_metric(each, value)
    return family


def _gauges(name: str, text: str, labels: Sequence[str], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for each, value in values:
        family.add_metric(each, value)
    return family
