import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import Event, EventBus, Stats
from reqscope.bus.event import Kind
from reqscope.bus.groups import grouped
from reqscope.bus.requestdurations import BOUNDARIES, MAX_SERIES, DurationSeries, RequestDurations
from reqscope.bus.routestats import MAX_ROUTES, OTHER


def request(
    total: float | None = 0.02,
    method: str = "GET",
    route: str | None = "/items/{id}",
    status: int = 200,
    kind: Kind = "request",
) -> Event:
    return Event(time=0, kind=kind, method=method, route=route, status=status, total=total)


def counted(*events: Event) -> list[DurationSeries]:
    durations = RequestDurations()
    durations.count(grouped(events))
    return durations.snapshot()


def labels(*events: Event) -> list[tuple[str, str, str]]:
    return [(series.method, series.route, series.status) for series in counted(*events)]


def test_each_method_route_and_status_is_a_series_of_its_own() -> None:
    assert labels(
        request(), request(method="PUT"), request(route="/"), request(status=404), request(), request(status=503)
    ) == [
        ("GET", "/items/{id}", "200"),
        ("PUT", "/items/{id}", "200"),
        ("GET", "/", "200"),
        ("GET", "/items/{id}", "404"),
        ("GET", "/items/{id}", "503"),
    ]


@pytest.mark.parametrize("bound", BOUNDARIES)
def test_a_duration_that_is_a_boundary_belongs_to_its_bucket_and_the_next_one_up_does_not(bound: float) -> None:
    index = BOUNDARIES.index(bound)

    at, above = counted(request(bound))[0].cumulative, counted(request(math.nextafter(bound, 99)))[0].cumulative

    assert at == [0] * index + [1] * (len(BOUNDARIES) + 1 - index)
    assert above == [0] * (index + 1) + [1] * (len(BOUNDARIES) - index)


@given(st.lists(st.lists(st.floats(0, 20), max_size=20), max_size=5))
def test_buckets_and_sum_are_exact_however_events_are_batched(batches: list[list[float]]) -> None:
    durations = RequestDurations()
    for batch in batches:
        durations.count(grouped(list(map(request, batch))))
    values = [value for batch in batches for value in batch]

    expected = [sum(value <= bound for value in values) for bound in (*BOUNDARIES, math.inf)]
    assert [series.cumulative for series in durations.snapshot()] == ([expected] if values else [])
    assert sum(series.total for series in durations.snapshot()) == pytest.approx(math.fsum(values))


def test_what_was_not_timed_and_what_nobody_waited_for_is_not_counted() -> None:
    assert counted(request(None), request(3.0, kind="websocket")) == []
    assert len(counted(request(kind="log"), request(kind="record"))) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_an_absurd_duration_spoils_no_sum(value: float) -> None:
    (series,) = counted(request(0.5), request(value))

    assert series.cumulative[-1] == 2
    assert 0.5 <= series.total < 1e10


def test_unknown_methods_are_folded_into_one() -> None:
    assert labels(*(request(method=method) for method in ("get", "PROPFIND", "", "A" * 9_000))) == [
        ("_OTHER", "/items/{id}", "200")
    ]


def test_what_no_route_matched_and_what_has_no_status_has_empty_labels() -> None:
    assert labels(request(route=None, status=0), request(route="", status=999)) == [("GET", "", "")]


def test_a_route_can_be_seen_and_has_an_end() -> None:
    assert labels(request(route='/a\n\x1b[31m"\\\ud800')) == [("GET", '/a\\x0a\\x1b[31m"\\\\ud800', "200")]
    assert len(counted(request(route="/" + "x" * 10_000))[0].route) == 300


def test_two_routes_that_look_the_same_are_one_series() -> None:
    assert len(labels(request(route="/\x1b"), request(route="/\\x1b"))) == 1


def test_beyond_so_many_routes_the_rest_is_counted_together() -> None:
    series = counted(*(request(route=f"/{number}") for number in range(MAX_ROUTES + 30)), request(route=None))

    assert len({each.route for each in series} - {OTHER, ""}) == MAX_ROUTES
    assert [each.cumulative[-1] for each in series if each.route == OTHER] == [30]
    assert sum(each.cumulative[-1] for each in series) == MAX_ROUTES + 31


def test_whatever_is_sent_there_is_a_bound_to_the_number_of_series() -> None:
    durations = RequestDurations()
    for status in range(0, 1_000, 3):
        durations.count(grouped([request(route=f"/{number}", status=status) for number in range(200)]))

    series = durations.snapshot()

    assert len(series) <= MAX_SERIES + 501
    assert sum(each.cumulative[-1] for each in series) == 200 * len(range(0, 1_000, 3))


def test_what_sampling_thins_out_and_what_the_ring_evicts_is_counted_all_the_same() -> None:
    bus = EventBus(capacity=10)
    stats = Stats(bus)
    for _ in range(10):
        bus.publish(request())
    bus.thin(request())
    assert stats.durations()[0].cumulative[-1] == 11
    for _ in range(10):
        bus.publish(request())

    assert stats.durations()[0].cumulative[-1] == 21
