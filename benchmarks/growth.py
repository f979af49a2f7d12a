"""`python -m benchmarks growth [FOLDER]`: how each cost grows with what it may depend on, as a table and a plot each.

Processor time of one operation, the least of several runs, in one process. A cost that stays is drawn as a flat line; a
linear one as a diagonal, because both axes are logarithmic.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import anyio

from reqscope.bus import Event, EventBus, Filter, Stats
from reqscope.service.mock import StubStore
from reqscope.service.mock.files import parse
from reqscope.service.mock.request import MockRequest
from reqscope.ui.frames import Frames

from .report import number
from .workloads import events

_RUNS: Final = 5
_OPERATIONS: Final = 2_000

Prepare = Callable[[int], Callable[[], int]]
"""Makes what is measured at one size; that does some operations, and returns how many."""


class Growth(NamedTuple):
    """One cost, and what it is measured against."""

    name: str
    against: str
    sizes: Sequence[int]
    prepare: Prepare


def _full(capacity: int) -> EventBus:
    bus = EventBus(capacity, max_bytes=1 << 40)
    for event in islice(events(), capacity):
        bus.publish(event)
    return bus


def _publishing(bus: EventBus, made: Sequence[Event]) -> Callable[[], int]:
    def run() -> int:
        for event in made:
            bus.publish(event)
        return len(made)

    return run


def _publish_by_readers(readers: int) -> Callable[[], int]:
    bus = _full(10_000)
    for _ in range(readers):
        anyio.run(bus.subscribe().__aenter__)
    return _publishing(bus, list(islice(events(), _OPERATIONS)))


def _publish_by_ring(capacity: int) -> Callable[[], int]:
    return _publishing(_full(capacity), list(islice(events(), _OPERATIONS)))


def _frame_by_viewers(viewers: int) -> Callable[[], int]:
    bus = _full(10_000)
    frames, passes = Frames(bus, Stats(bus), sinks=[]), Filter.parse("status:5xx")
    publish = _publishing(bus, list(islice(events(), 100)))

    def run() -> int:
        after = bus.ring.last
        publish()
        for _ in range(viewers):
            frames.add(passes, after, 0, bus.ring.last)
        return 1

    return run


def _filter_by_ring(capacity: int) -> Callable[[], int]:
    bus, passes = _full(capacity), Filter.parse("path:/items/7* dur>5ms")

    def run() -> int:
        for event in bus.ring.since(bus.ring.first - 1).events:
            passes(event)
        return 1

    return run


def _count_by_routes(routes: int) -> Callable[[], int]:
    made = list(islice(events(), _OPERATIONS))
    for position, event in enumerate(made):
        event.route = f"/route/{position % routes}"
    stats = Stats(EventBus())

    def run() -> int:
        stats.count(made)
        return len(made)

    return run


def _answer_by_stubs(stubs: int) -> Callable[[], int]:
    store = StubStore()
    store.add_all(
        parse(f"request: {{method: GET, path: /s{n}/a}}\nresponse: {{body: x}}")[0].stub for n in range(stubs)
    )
    request = MockRequest("GET", f"/s{stubs - 1}/a", b"", (), b"")

    def run() -> int:
        for _ in range(100):
            assert store.preview(request) is not None
        return 100

    return run


GROWTHS: Final = (
    Growth("publish", "readers", (1, 10, 100, 1_000), _publish_by_readers),
    Growth("publish", "events in the ring", (1_000, 10_000, 100_000), _publish_by_ring),
    Growth("a frame for all", "viewers of one filter", (1, 10, 100, 1_000), _frame_by_viewers),
    Growth("a filter over the ring", "events in the ring", (1_000, 10_000, 100_000), _filter_by_ring),
    Growth("count an event", "routes", (1, 10, 100, 500), _count_by_routes),
    Growth("choose a stub", "stubs", (1, 10, 100, 1_000), _answer_by_stubs),
)


def measure(growth: Growth) -> list[float]:
    """Return the microseconds that one operation takes at each size."""
    return [_least(growth.prepare(size)) for size in growth.sizes]


def _least(run: Callable[[], int]) -> float:
    run()
    taken: list[float] = []
    for _ in range(_RUNS):
        begun = time.process_time_ns()
        operations = run()
        taken.append((time.process_time_ns() - begun) / operations / 1_000)
    return min(taken)


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Return how the cost grows from the first size to the last: 0 it stays, 1 it is linear, 2 it is square."""
    return math.log(costs[-1] / costs[0]) / math.log(sizes[-1] / sizes[0])


def table(measured: Sequence[tuple[Growth, list[float]]]) -> str:
    """Return all as a table in Markdown."""
    rows = [
        f"| {growth.name} | {growth.against} | "
        + ", ".join(f"{size:,}: {number(cost)}" for size, cost in zip(growth.sizes, costs, strict=True))
        + f" | {exponent(growth.sizes, costs):.2f} |"
        for growth, costs in measured
    ]
    head = "| cost of | by | µs of processor time at each size | exponent |\n| --- | --- | --- | --: |\n"
    return head + "\n".join(rows) + "\n"


def plot(growth: Growth, costs: Sequence[float]) -> str:
    """Return one cost as a picture, both axes logarithmic and of one scale."""
    low = min(costs) / 2
    points = [
        (60 + 60 * math.log10(size / growth.sizes[0]), 220 - 60 * math.log10(cost / low))
        for size, cost in zip(growth.sizes, costs, strict=True)
    ]
    height = max(260, 240 - int(min(y for _, y in points)) + 40)
    lines = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = "".join(_mark(x, y, size, cost) for (x, y), size, cost in zip(points, growth.sizes, costs, strict=True))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {260 - height} 360 {height}" font-family="sans-serif" '
        f'font-size="11" fill="#666"><text x="60" y="{260 - height + 16}">{growth.name}, µs, by {growth.against}</text>'
        f'<polyline points="{lines}" fill="none" stroke="#2a78d6" stroke-width="2"/>{marks}</svg>\n'
    )


def _mark(x: float, y: float, size: int, cost: float) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#2a78d6"/>'
        f'<text x="{x:.1f}" y="{y - 8:.1f}">{number(cost)}</text>'
        f'<text x="{x:.1f}" y="248">{size:,}</text>'
    )


def main(arguments: Sequence[str]) -> int:
    """Measure all, print the table, and write it and the plots into a folder if one is named."""
    measured = [(growth, measure(growth)) for growth in _progress(GROWTHS)]
    print(table(measured), end="")
    if arguments:
        folder = Path(arguments[0])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "growth.md").write_text(table(measured), "utf-8")
        for growth, costs in measured:
            name = f"{growth.name} by {growth.against}".replace(" ", "-")
            (folder / f"{name}.svg").write_text(plot(growth, costs), "utf-8")
    return 0


def _progress(growths: Sequence[Growth]) -> Iterator[Growth]:
    for growth in growths:
        print(f"{growth.name} by {growth.against}", file=sys.stderr, flush=True)
        yield growth
