from typing import Any

import pytest

from reqscope.bus import Event
from reqscope.service.bridge.packed import Packed
from reqscope.service.bridge.workers import Workers


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def batch(number: int, after: int, events: int = 1, *, worker: str = "1", boot: str = "a", **more: Any) -> Packed:
    fields: dict[str, Any] = {"heartbeat": 1.0, "host": "h", "events": [Event(time=0)] * events, **more}
    return Packed(worker=worker, boot=boot, number=number, after=after, **fields)


def statuses(workers: Workers) -> dict[tuple[str, str], str]:
    return {(row.worker, row.boot): row.status for row in workers.rows()}


def test_each_batch_is_new_once(clock: Clock) -> None:
    workers = Workers(clock)

    assert [workers.hear(each) for each in (batch(1, 0), batch(1, 0), batch(2, 1), batch(1, 0))] == [
        True,
        False,
        True,
        False,
    ]
    assert workers.duplicates == 2
    assert [(row.events, row.lost) for row in workers.rows()] == [(2, 0)]


def test_a_hole_between_batches_is_counted_in_events_for_the_worker_and_the_life_it_is_of(clock: Clock) -> None:
    workers = Workers(clock)
    workers.hear(batch(1, 0, 5))
    workers.hear(batch(4, 30, 5))
    workers.hear(batch(1, 0, 5, worker="2"))

    assert [(row.worker, row.boot, row.lost) for row in workers.rows()] == [("1", "a", 25), ("2", "a", 0)]


def test_what_the_worker_says_it_missed_is_counted_as_well(clock: Clock) -> None:
    workers = Workers(clock)
    workers.hear(batch(1, 0, 5))
    workers.hear(batch(2, 5, 5, missed=7))
    workers.hear(batch(3, 17, 5))

    assert [row.lost for row in workers.rows()] == [7]


def test_a_sign_of_life_tells_of_what_was_handed_over_and_never_came(clock: Clock) -> None:
    workers = Workers(clock)
    workers.hear(batch(1, 0, 5))
    workers.hear(batch(0, 12, 0))
    workers.hear(batch(0, 12, 0))
    workers.hear(batch(3, 12, 5))

    assert [row.lost for row in workers.rows()] == [7]


def test_what_came_before_the_first_batch_was_for_an_earlier_panel(clock: Clock) -> None:
    workers = Workers(clock)
    workers.hear(batch(9, 1_000))
    workers.hear(batch(10, 1_001))
    workers.hear(batch(0, 2_000, 0, worker="2"))
    workers.hear(batch(9, 2_000, worker="2"))

    assert [row.lost for row in workers.rows()] == [0, 0]


def test_one_that_falls_silent_is_dead_and_one_that_says_goodbye_has_ended(clock: Clock) -> None:
    workers = Workers(clock)
    workers.hear(batch(1, 0))
    workers.hear(batch(1, 0, worker="2", host="other"))
    workers.hear(batch(0, 0, 0, worker="2", heartbeat=0.0, host="other"))
    assert (workers.reporting, workers.expected) == (1, 1)

    clock.now += 4

    assert statuses(workers) == {("1", "a"): "dead", ("2", "a"): "ended"}
    assert (workers.reporting, workers.expected) == (0, 1)
    clock.now += 1_000
    assert statuses(workers)["1", "a"] == "gone"
    assert workers.expected == 0


@pytest.mark.guarantees("F24")
def test_one_that_was_frozen_reports_again(clock: Clock) -> None:
    workers = Workers(clock)
    workers.hear(batch(1, 0))
    clock.now += 100
    workers.hear(batch(0, 0, 0))

    assert workers.reporting == 1


def test_a_newcomer_of_the_same_name_takes_the_place_of_the_one_before(clock: Clock) -> None:
    workers = Workers(clock, expected=2)
    workers.hear(batch(1, 0))
    workers.hear(batch(1, 0, boot="b"))

    assert statuses(workers) == {("1", "a"): "replaced", ("1", "b"): "reporting"}
    assert (workers.reporting, workers.expected) == (1, 2)


def test_a_newcomer_may_come_before_the_death_is_noticed(clock: Clock) -> None:
    workers = Workers(clock)
    workers.hear(batch(1, 0, worker="h-1"))
    workers.hear(batch(1, 0, worker="h-2"))
    clock.now += 0.1
    workers.hear(batch(0, 0, worker="h-2"))
    workers.hear(batch(1, 0, worker="h-3"))
    assert (workers.reporting, workers.expected) == (3, 3)
    clock.now += 10
    for alive in ("h-2", "h-3"):
        workers.hear(batch(0, 0, worker=alive))

    assert statuses(workers) == {("h-1", "a"): "replaced", ("h-2", "a"): "reporting", ("h-3", "a"): "reporting"}
    assert (workers.reporting, workers.expected) == (2, 2)


def test_a_newcomer_takes_the_place_of_a_dead_one_on_its_host_only(clock: Clock) -> None:
    workers = Workers(clock)
    workers.hear(batch(1, 0, worker="h-1"))
    workers.hear(batch(1, 0, worker="other-1", host="other"))
    clock.now += 10
    workers.hear(batch(1, 0, worker="h-2", boot="b"))

    assert statuses(workers) == {
        ("h-1", "a"): "replaced",
        ("h-2", "b"): "reporting",
        ("other-1", "a"): "dead",
    }
    assert workers.expected == 2


def test_history_does_not_make_the_long_dead_look_alive(clock: Clock) -> None:
    workers = Workers(clock)
    workers.hear(batch(1, 0), age=3_600)

    assert (workers.reporting, workers.expected) == (0, 0)


def test_what_is_in_flight_is_summed_up_over_those_that_report(clock: Clock) -> None:
    workers = Workers(clock)
    workers.hear(batch(1, 0, in_flight=2))
    workers.hear(batch(1, 0, worker="2", in_flight=3, heartbeat=100.0))
    assert workers.in_flight == 5

    clock.now += 10

    assert workers.in_flight == 3


def test_as_many_as_there_may_be_are_remembered(clock: Clock) -> None:
    workers = Workers(clock)
    for number in range(700):
        workers.hear(batch(1, 0, worker=str(number)))

    assert len(workers.rows()) == 500
