"""Events of several workers come out in the order in which they ended, none before its time and none too late."""

from math import inf, nan

from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import Event
from reqscope.service.bridge.ordering import WINDOW, Ordering


def event(began: int, total: float | None = None) -> Event:
    return Event(time=began, total=total)


def times(events: list[Event]) -> list[int]:
    return [each.time for each in events]


def test_what_every_worker_has_told_of_comes_out_in_order_and_nothing_later() -> None:
    ordering = Ordering()
    ordering.add([event(1), event(4), event(7)], 0.0)
    ordering.add([event(2), event(3), event(9)], 0.0)

    assert times(ordering.due(4, 0.0)) == [1, 2, 3, 4]
    assert times(ordering.due(4, 0.0)) == []
    assert times(ordering.rest()) == [7, 9]
    assert ordering.patience == inf


def test_what_has_waited_long_enough_comes_out_with_all_that_ended_before_it() -> None:
    ordering = Ordering()
    ordering.add([event(5)], 1.0)
    ordering.add([event(3), event(6)], 1.0 + WINDOW / 2)

    assert ordering.patience == 1.0 + WINDOW
    assert times(ordering.due(0, 1.0 + WINDOW * 0.9)) == []
    assert times(ordering.due(0, ordering.patience)) == [3, 5]
    assert times(ordering.due(0, ordering.patience)) == [6]


def test_it_is_the_end_that_counts_and_the_last_one_that_is_told_of() -> None:
    ordering = Ordering()

    assert ordering.add([event(1, 60.0), event(2, 0.5)], 0.0) == 2 + 500_000_000
    assert times(ordering.rest()) == [2, 1]


def test_a_total_that_is_no_number_costs_no_event() -> None:
    ordering = Ordering()
    ordering.add([event(3, nan), event(1, inf), event(2, -inf), event(4, 1e305)], 0.0)

    assert times(ordering.rest()) == [1, 2, 3, 4]


@given(st.lists(st.tuples(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 50), st.floats(0, 0.1))))
def test_whatever_comes_each_event_comes_out_once_and_each_lot_in_order(
    steps: list[tuple[list[int], int, float]],
) -> None:
    ordering, now, came, shown = Ordering(), 0.0, list[int](), list[int]()
    for ends, told, later in steps:
        now += later
        ordering.add([event(end) for end in ends], now)
        came += ends
        due = times(ordering.due(told, now))
        assert due == sorted(due)
        shown += due
        assert ordering.patience > now
    rest = times(ordering.rest())

    assert rest == sorted(rest)
    assert sorted(came) == sorted(shown + rest)
