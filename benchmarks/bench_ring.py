"""The ring: appending to a full one, reading out of it, and a million events through it.

`deque(maxlen)` is the bare part: the least that keeps the last events. It numbers nothing, bounds no bytes, and can
be read only from an end, so its readers count back from there. Both are called through a bound method in one loop.
"""

import gc
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from statistics import median
from typing import Final

import psutil

from reqscope.bus import Event, RingBuffer

from .contenders import Bench, Measure, Numbers, Target
from .workloads import BATCH, CAPACITY, chunks, events, ready_made

_APPEND, _MEASURED = "append to a full store, ns", "append of a new event, its size to be measured, ns"
_SLICES: Final = {1: "read the newest event, ns", 100: "read the newest 100, ns", CAPACITY: "read all 10 000, ns"}
_THROUGH, _GROWTH = "a million new events through it, ns each", "growth of memory by a million events, MiB"

Append = Callable[[Event], object]
Newest = Callable[[int], list[Event]]


def _ring() -> tuple[Append, Newest]:
    ring = RingBuffer(CAPACITY)
    return ring.append, lambda amount: ring.since(ring.last - amount).events


def _deque() -> tuple[Append, Newest]:
    kept = deque[Event](maxlen=CAPACITY)

    def newest(amount: int) -> list[Event]:
        found = list(islice(reversed(kept), amount))
        found.reverse()
        return found

    return kept.append, newest


def _store(make: Callable[[], tuple[Append, Newest]]) -> Measure:
    def measure(scale: float) -> Numbers:
        append, newest = make()
        growth, through = _through(append, 1_000_000)
        pool = ready_made(2 * CAPACITY)
        numbers = {_APPEND: _appended(append, chunks(pool, int(500_000 * scale), BATCH))}
        source = events()
        few_at_once = (list(islice(source, 50)) for _ in range(int(2_000 * scale)))
        numbers[_MEASURED] = _appended(append, few_at_once)
        numbers |= {name: _read(newest, amount, scale) for amount, name in _SLICES.items()}
        return numbers | {_THROUGH: through, _GROWTH: growth}

    return measure


def _appended(append: Append, groups: Iterable[list[Event]]) -> float:
    spent: list[float] = []
    for chunk in groups:
        begun = time.perf_counter_ns()
        for event in chunk:
            append(event)
        spent.append((time.perf_counter_ns() - begun) / len(chunk))
    return median(spent)


def _read(newest: Newest, amount: int, scale: float) -> float:
    assert len(newest(amount)) == amount
    spent: list[float] = []
    for _ in range(int(100 * scale)):
        repeats = max(1, 1_000 // amount)
        begun = time.perf_counter_ns()
        for _ in range(repeats):
            newest(amount)
        spent.append((time.perf_counter_ns() - begun) / repeats)
    return median(spent)


def _through(append: Append, amount: int) -> tuple[float, float]:
    """Return the growth of memory in MiB from a full store to `amount` events later, and ns of CPU for each event."""
    source = events()
    for event in islice(source, 2 * CAPACITY):
        append(event)
    gc.collect()
    process = psutil.Process()
    before, begun = process.memory_info().rss, time.process_time_ns()
    for event in islice(source, amount):
        append(event)
    spent = time.process_time_ns() - begun
    gc.collect()
    return (process.memory_info().rss - before) / 2**20, spent / amount


BENCH = Bench(
    title="the store that every reader reads from",
    contenders={"deque(maxlen)": _store(_deque), "RingBuffer": _store(_ring)},
    metrics={
        _APPEND: "deque(maxlen)",
        _MEASURED: "deque(maxlen)",
        **dict.fromkeys(_SLICES.values(), "deque(maxlen)"),
        _THROUGH: "deque(maxlen)",
        _GROWTH: None,
    },
    targets=[Target(_GROWTH, "RingBuffer", at_most=2)],
)
