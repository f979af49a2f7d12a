"""Costs inside one process: the bus, its readers, frames, filters, statistics and stubs."""

import gc
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Final

import anyio

from benchmarks import mock_apps
from benchmarks.workloads import CAPACITY, events
from reqscope.bus import Event, EventBus, Filter, Stats, Subscription
from reqscope.service.mock.request import MockRequest
from reqscope.ui.frames import Frames

from .cost import Growth, timed

_OPERATIONS: Final = 2_000
_RUNS: Final = 5
_SOURCE: Final = events()
_RINGS: Final = (1_000, 10_000, 100_000)
_EACH: Final = (1, 10, 100, 1_000)
"""Numbers of readers, or of pages."""


def _full(capacity: int) -> EventBus:
    bus = EventBus(capacity, max_bytes=1 << 40)
    for event in islice(events(), capacity):
        bus.publish(event)
    return bus


def _fresh() -> tuple[list[Event]]:
    """Events that nothing else holds, as those of requests are: what the ring evicts is taken apart."""
    return (list(islice(_SOURCE, _OPERATIONS)),)


def _publishing(bus: EventBus) -> Callable[[list[Event]], int]:
    def run(made: list[Event]) -> int:
        for event in made:
            bus.publish(event)
        return len(made)

    return run


def _publish_by_readers(readers: int) -> Callable[[list[Event]], int]:
    bus = _full(CAPACITY)
    for _ in range(readers):
        anyio.run(bus.subscribe().__aenter__)
    return _publishing(bus)


def _deliver_by_readers(readers: int) -> float:
    return min(anyio.run(_delivered, readers) for _ in range(_RUNS))


async def _delivered(readers: int) -> float:
    bus = _full(CAPACITY)
    subscriptions = [bus.subscribe() for _ in range(readers)]
    (made,), taken = _fresh(), 0.0
    async with anyio.create_task_group() as tasks:
        for subscription in subscriptions:
            tasks.start_soon(_read, subscription)
        await anyio.wait_all_tasks_blocked()
        begun = time.process_time()
        for event in made:
            bus.publish(event)
        while any(each.cursor < bus.ring.last for each in subscriptions):
            await anyio.lowlevel.checkpoint()
        taken = time.process_time() - begun
        tasks.cancel_scope.cancel()
    return taken / len(made) * 1e6


async def _read(subscription: Subscription) -> None:
    async with subscription:
        async for batch in subscription:
            assert batch.events


def _publish_by_ring(capacity: int) -> Callable[[list[Event]], int]:
    return _publishing(_full(capacity))


def _memory_by_ring(capacity: int) -> float:
    gc.collect()
    tracemalloc.start()
    try:
        bus = _full(capacity)
        return tracemalloc.get_traced_memory()[0] / bus.ring.statistics().kept
    finally:
        tracemalloc.stop()


def _first_frame_by_ring(capacity: int) -> Callable[[], int]:
    bus = _full(capacity)
    frames, passes = Frames(bus, Stats(bus), sinks=[]), Filter.parse("")
    head = iter(range(1 << 60))

    def run() -> int:
        frames.full(passes, next(head))  # each time for another moment, so that it is built anew
        return 1

    return run


def _filter_by_ring(capacity: int) -> Callable[[], int]:
    bus, passes = _full(capacity), Filter.parse("path:/items/7* dur>5ms")

    def run() -> int:
        for event in bus.ring.since(bus.ring.first - 1).events:
            passes(event)
        return 1

    return run


def _frame_by_viewers(viewers: int, *, alike: bool) -> Callable[[], int]:
    bus = _full(CAPACITY)
    frames = Frames(bus, Stats(bus), sinks=[])
    filters = [Filter.parse("status:5xx" if alike else f"status:5xx dur>{n}us") for n in range(viewers)]
    publish, made = _publishing(bus), list(islice(events(), 100))

    def run() -> int:
        after = bus.ring.last
        publish(made)
        for passes in filters:
            frames.add(passes, after, 0, bus.ring.last)
        return 1

    return run


def _routed(routes: int) -> list[Event]:
    made = list(islice(events(), _OPERATIONS))
    for position, event in enumerate(made):
        event.route = f"/route/{position % routes}"
    return made


def _count_by_routes(routes: int) -> Callable[[], int]:
    made, stats = _routed(routes), Stats(EventBus())

    def run() -> int:
        stats.count(made)
        return len(made)

    return run


def _page_by_routes(routes: int) -> Callable[[], int]:
    stats = Stats(EventBus())
    stats.count(_routed(routes))

    def run() -> int:
        stats.by_route()
        stats.durations()
        return 1

    return run


def _choose(stubs: int, alike: int) -> Callable[[], int]:
    index = mock_apps.store(stubs, alike).index
    path = f"{mock_apps.path(stubs // 2, alike)}/7"  # half of all are before it

    def run() -> int:
        for _ in range(100):
            asked = MockRequest("POST", path, b"", (), b'{"amount":5}')
            assert any(stub.takes(asked) for stub in index.candidates(asked))
        return 100

    return run


INSIDE: Final = (
    Growth(
        "publish an event",
        "readers that are stuck",
        _EACH,
        timed(_publish_by_readers, _fresh),
        "A reader is a cursor that the publisher does not touch.",
    ),
    Growth(
        "deliver an event to all readers",
        "readers that read",
        _EACH,
        _deliver_by_readers,
        "Each reader is woken once for a batch of 2 000 and takes a list of references.",
    ),
    Growth(
        "publish an event",
        "events in the ring",
        _RINGS,
        timed(_publish_by_ring, _fresh),
        "The work is the same. The event that has to go was last touched a whole ring ago: where the ring is larger "
        "than the processor's caches, taking it apart waits for memory.",
    ),
    Growth(
        "memory of an event that is kept",
        "events in the ring",
        _RINGS,
        _memory_by_ring,
        "Its own headers and texts included.",
        "bytes",
    ),
    Growth(
        "first frame of a page without a filter",
        "events in the ring",
        _RINGS,
        timed(_first_frame_by_ring),
        "500 rows whatever there is, and a list of references to the whole ring, which is what grows.",
    ),
    Growth(
        "a filter over the whole ring",
        "events in the ring",
        _RINGS,
        timed(_filter_by_ring),
        "It looks at each event once, when a filter is set or a page opens. Beyond the processor's caches each look "
        "waits for memory, too.",
    ),
    *(
        Growth(
            "frames of all pages",
            f"open pages with {filters}",
            _EACH,
            timed(partial(_frame_by_viewers, alike=alike)),
            why,
        )
        for filters, alike, why in (
            ("the same filter", True, "Built once, and looked up by the others."),
            ("filters of their own", False, "Each has its filter run over the 100 new events, and a frame of its own."),
        )
    ),
    Growth(
        "count an event",
        "routes",
        (1, 10, 100, 500),
        timed(_count_by_routes),
        "Events are counted in groups that are alike, of a batch of 2 000 here: the more routes there are, the smaller "
        "are the groups. There are at most 500; what is beyond is counted as one.",
    ),
    Growth(
        "numbers of all routes, for the page and for /metrics",
        "routes",
        (1, 10, 100, 500),
        timed(_page_by_routes),
        "A row for each.",
    ),
    Growth(
        "choose a stub",
        "stubs",
        (10, 100, 1_000, 10_000),
        timed(lambda stubs: _choose(stubs, alike=1)),
        "An index by method and first segment of the path leaves one to look at.",
    ),
    Growth(
        "choose a stub",
        "stubs that share method and first segment",
        (10, 100, 1_000),
        timed(lambda stubs: _choose(stubs, alike=stubs)),
        "Of these the index knows no more, and each is compared with the request, half of them on average.",
    ),
)
