from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import Event, RouteStats
from reqscope.bus.groups import grouped
from reqscope.bus.routestats import MAX_ROUTES, NO_ROUTE, OTHER


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def request(route: str | None = "/items/{item}", method: str = "GET", status: int = 200, **more: Any) -> Event:
    return Event(time=0, method=method, route=route, status=status, **more)


def test_each_method_of_each_route_has_its_own_numbers_the_busiest_first() -> None:
    stats = RouteStats()

    stats.count(grouped([request(), request(method="PUT"), request(), request("/a"), request(), request(method="PUT")]))

    assert [(row.method, row.route, row.count) for row in stats.rows()] == [
        ("GET", "/items/{item}", 3),
        ("PUT", "/items/{item}", 2),
        ("GET", "/a", 1),
    ]


def test_errors_bytes_and_latencies_are_those_of_the_route() -> None:
    stats = RouteStats()
    stats.count(grouped([request(total=number / 100, request_size=2, response_size=3) for number in range(1, 101)]))
    stats.count(
        grouped([request(status=503), request(status=404), request(error="ValueError"), request("/other", total=9.0)])
    )

    row = stats.rows()[0]

    assert (row.count, row.errors, row.received, row.sent) == (103, 2, 200, 300)
    assert row.maximum == 1.0
    assert row.p50 is not None
    assert abs(row.p50 - 0.5) <= 0.01 * 0.5
    assert stats.rows()[1].maximum == 9.0


def test_what_matched_no_route_is_one_row() -> None:
    stats = RouteStats()

    stats.count(grouped([request(None), request(None, status=404)]))

    assert [(row.route, row.count) for row in stats.rows()] == [(NO_ROUTE, 2)]


def test_a_window_has_what_was_counted_in_it() -> None:
    clock = FakeClock()
    stats = RouteStats(clock=clock)
    stats.count(grouped([request()] * 5))
    clock.now += 30
    stats.count(grouped([request()] * 2))

    assert [[row.count for row in stats.rows(window)] for window in (10, 60, 300, None)] == [[2], [7], [7], [7]]
    clock.now += 30
    assert [[row.count for row in stats.rows(window)] for window in (10, 60, 300, None)] == [[], [7], [7], [7]]
    clock.now += 600
    assert [[row.count for row in stats.rows(window)] for window in (300, None)] == [[], [7]]


def test_beyond_so_many_routes_the_rest_is_counted_together() -> None:
    stats = RouteStats()

    stats.count(grouped([request(f"/{number}") for number in range(MAX_ROUTES + 30)]))

    rows = stats.rows()
    assert len(rows) == MAX_ROUTES + 1
    assert (rows[0].route, rows[0].count) == (OTHER, 30)
    assert sum(row.count for row in rows) == MAX_ROUTES + 30


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["/a", "/b", None])), max_size=60))
def test_nothing_is_lost_when_slices_grow_old(steps: list[tuple[int, str | None]]) -> None:
    clock = FakeClock()
    stats = RouteStats(clock=clock)
    for seconds, route in steps:
        clock.now += seconds
        stats.count(grouped([request(route, total=0.1)]))

    assert sum(row.count for row in stats.rows()) == len(steps)
    counts = [sum(row.count for row in stats.rows(window)) for window in (10, 60, 300, None)]
    assert counts == sorted(counts)
