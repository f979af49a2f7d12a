from collections import Counter

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.bus import Event, EventBus, Stats
from reqscope.bus.stats import CLASSES, WINDOW

FAST = settings(derandomize=True, deadline=None)


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def statuses(*values: int) -> list[Event]:
    return [Event(time=0, status=value) for value in values]


def timed(*durations: float) -> list[Event]:
    return [Event(time=0, status=200, total=duration) for duration in durations]


def test_there_are_no_numbers_before_there_are_events() -> None:
    snapshot = Stats(EventBus()).snapshot()

    assert (snapshot.events, snapshot.missed, snapshot.seconds) == (0, 0, ())
    assert snapshot.classes == dict.fromkeys(CLASSES, 0)
    latency = snapshot.latency
    assert (latency.p50, latency.p95, latency.p99, latency.maximum) == (None, None, None, None)


def test_events_are_counted_by_the_class_of_their_status() -> None:
    stats = Stats(EventBus())

    stats.count(statuses(200, 204, 299, 301, 400, 404, 499, 500, 0, 100, 199, 600, 999))

    assert stats.snapshot().classes == {"2xx": 3, "3xx": 1, "4xx": 3, "5xx": 1, "other": 5}
    assert stats.snapshot().events == 13


def test_latency_comes_from_the_events_that_were_timed() -> None:
    stats = Stats(EventBus())

    stats.count([*timed(*(number / 100 for number in range(1, 101))), *statuses(200, 200)])

    latency = stats.snapshot().latency
    assert latency.p50 == pytest.approx(0.5, rel=0.01)
    assert latency.p95 == pytest.approx(0.95, rel=0.01)
    assert latency.p99 == pytest.approx(0.99, rel=0.01)
    assert latency.maximum == 1.0


def test_every_second_in_which_something_happened_has_its_numbers() -> None:
    clock = FakeClock()
    stats = Stats(EventBus(), clock=clock)

    stats.count(timed(0.1))
    clock.now += 0.9
    stats.count(statuses(404))
    clock.now += 2
    stats.count(timed(0.3, 0.5))

    first, second = stats.snapshot().seconds
    assert (first.time, first.classes, first.latency.maximum) == (1_000_000, (1, 0, 1, 0, 0), 0.1)
    assert (second.time, second.classes, second.latency.maximum) == (1_000_002, (2, 0, 0, 0, 0), 0.5)


def test_only_the_seconds_after_the_one_named_are_returned() -> None:
    clock = FakeClock()
    stats = Stats(EventBus(), clock=clock)
    for _ in range(4):
        stats.count(statuses(200))
        clock.now += 1

    assert [second.time for second in stats.snapshot(after=1_000_001).seconds] == [1_000_002, 1_000_003]
    assert stats.snapshot(after=1_000_001).events == 4


def test_the_seconds_alone_are_those_of_a_snapshot_and_one_that_goes_on_is_told_anew() -> None:
    clock = FakeClock()
    stats = Stats(EventBus(), clock=clock)
    for _ in range(3):
        stats.count(timed(0.1))
        clock.now += 1
    clock.now -= 1

    assert stats.seconds(1_000_000) == stats.snapshot(1_000_000).seconds
    assert [second.classes[0] for second in stats.seconds(1_000_000)] == [1, 1]
    stats.count(timed(0.3))
    assert [second.classes[0] for second in stats.seconds(1_000_000)] == [1, 2]
    assert stats.seconds(1_000_001)[0].latency.maximum == 0.3
    assert stats.seconds(1_000_002) == ()


def test_seconds_leave_the_window_and_stay_in_the_totals() -> None:
    clock = FakeClock()
    stats = Stats(EventBus(), clock=clock)
    count = 2 * WINDOW

    for number in range(count):
        stats.count(timed(number / 1000))
        clock.now += 1
    snapshot = stats.snapshot()

    assert [second.time for second in snapshot.seconds] == [
        *range(1_000_000 + count - len(snapshot.seconds), 1_000_000 + count)
    ]
    assert WINDOW - 1 <= len(snapshot.seconds) <= WINDOW
    assert snapshot.events == snapshot.classes["2xx"] == count
    assert snapshot.latency.p50 == pytest.approx(count / 2000, rel=0.02)


def test_seconds_leave_the_window_though_nothing_has_happened_since() -> None:
    clock = FakeClock()
    stats = Stats(EventBus(), clock=clock)
    stats.count(statuses(200))

    clock.now += WINDOW + 1

    assert stats.snapshot().seconds == ()
    assert stats.snapshot().events == 1


@pytest.mark.guarantees("F27")
def test_a_clock_that_goes_back_makes_no_second_appear_twice() -> None:
    clock = FakeClock()
    stats = Stats(EventBus(), clock=clock)

    for step in (0, 1, -5, 3, 4):
        clock.now += step
        stats.count(statuses(200))

    assert [(second.time, sum(second.classes)) for second in stats.snapshot().seconds] == [
        (1_000_000, 1),
        (1_000_001, 3),
        (1_000_003, 1),
    ]


@FAST
@given(
    st.lists(
        st.tuples(
            st.integers(0, 400), st.lists(st.tuples(st.integers(0, 999), st.none() | st.floats(0, 60)), max_size=5)
        ),
        max_size=15,
    )
)
def test_totals_and_seconds_agree_with_counting_by_hand(
    history: list[tuple[int, list[tuple[int, float | None]]]],
) -> None:
    clock = FakeClock()
    stats = Stats(EventBus(), clock=clock)
    expected = Counter[str]()
    by_second = Counter[int]()

    for step, batch in history:
        clock.now += step
        stats.count([Event(time=0, status=status, total=total) for status, total in batch])
        for status, _ in batch:
            name = f"{status // 100}xx"
            expected[name if name in CLASSES else "other"] += 1
            by_second[int(clock.now)] += 1
    snapshot = stats.snapshot()

    assert {name: count for name, count in snapshot.classes.items() if count} == expected
    assert snapshot.events == expected.total()
    totals = [total for _, batch in history for _, total in batch if total is not None]
    assert snapshot.latency.maximum == max(totals, default=None)
    shown = {second.time: sum(second.classes) for second in snapshot.seconds if sum(second.classes)}
    recent = {second: count for second, count in by_second.items() if second > clock.now - WINDOW}
    assert shown == recent


def test_what_was_published_is_counted_in_the_next_snapshot_without_anyone_waiting() -> None:
    bus = EventBus()
    stats = Stats(bus)
    for event in statuses(200, 500):
        bus.publish(event)

    assert stats.snapshot().events == 2
    assert stats.snapshot().events == 2


def test_what_was_evicted_before_it_could_be_counted_is_missed() -> None:
    bus = EventBus(capacity=2)
    for event in statuses(200, 200, 200, 500, 404):
        bus.publish(event)
    stats = Stats(bus)

    snapshot = stats.snapshot()

    assert (snapshot.events, snapshot.missed) == (2, 3)
    assert snapshot.classes == {"2xx": 0, "3xx": 0, "4xx": 1, "5xx": 1, "other": 0}


@pytest.mark.anyio
async def test_running_counts_everything_once_until_the_bus_is_closed() -> None:
    bus = EventBus()
    stats = Stats(bus)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stats.run)
            for event in statuses(200, 200):
                bus.publish(event)
            await wait_all_tasks_blocked()
            for event in statuses(404, 500):
                bus.publish(event)
            # Between the wake-up and the turn of the one that was woken.
            assert stats.snapshot().events == 4
            await wait_all_tasks_blocked()
            bus.publish(Event(time=0, status=301))
            bus.close()

    snapshot = stats.snapshot()
    assert (snapshot.events, snapshot.missed) == (5, 0)
    assert snapshot.classes == {"2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1, "other": 0}


@pytest.mark.guarantees("F5")
@pytest.mark.anyio
async def test_what_was_delivered_before_a_cancellation_has_been_counted() -> None:
    bus = EventBus()
    stats = Stats(bus)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stats.run)
        await wait_all_tasks_blocked()
        for event in statuses(200, 200, 200):
            bus.publish(event)
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert stats.snapshot().events == 3
    assert bus.statistics().readers == ()
