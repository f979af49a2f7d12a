"""Numbers over every event but exported log lines, whatever the ring still holds."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

import anyio

from .event import Event
from .eventbus import EventBus
from .groups import Group, grouped
from .histogram import Histogram
from .requestdurations import DurationSeries, RequestDurations
from .routestats import RouteRow, RouteStats

WINDOW: Final = 300
"""Seconds of history kept, one bucket each."""

CLASSES: Final = ("2xx", "3xx", "4xx", "5xx", "other")
_LINGER: Final = 0.25
"""Seconds between two counts: a reader that woke for each request would cost more than all it counts."""

_OTHER: Final = len(CLASSES) - 1
_CLASS_OF: Final = {2: 0, 3: 1, 4: 2, 5: 3}
_QUANTILES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds to the last byte of the response, each within 1 %; None where nothing was timed."""

    p50: float | None
    p95: float | None
    p99: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class Second:
    """What ended in one second."""

    time: int
    """Seconds since the epoch."""
    classes: tuple[int, ...]
    """Counts by status class, in the order of `CLASSES`."""
    latency: Latency


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What `Stats` knows at one moment."""

    events: int
    missed: int
    """Published, and evicted before they could be counted here."""
    classes: dict[str, int]
    latency: Latency
    seconds: tuple[Second, ...]
    """Oldest first; only seconds in which something happened."""


class Stats:
    """Counts and latencies of all events of a bus, in total and per second for the last five minutes.

    Run `run` in a task group; read `snapshot` from the same event loop at any time.

    :param clock: wall clock in seconds, for naming the second an event is counted in
    """

    def __init__(self, bus: EventBus, *, clock: Callable[[], float] = time.time) -> None:
        self._subscription = bus.subscribe(after=0, linger=_LINGER, name="stats", sealed=True)
        self._bus = bus
        bus.add_counter(self.count)
        self._clock = clock
        self.routes = RouteStats(clock=clock)
        """The same by route."""
        self._durations = RequestDurations()
        self._total = _Bucket(0)
        self._seconds: deque[_Bucket] = deque()

    async def run(self) -> None:
        """Count until the bus is closed. If cancelled, everything delivered so far has been counted."""
        async with self._subscription as subscription:
            async for batch in subscription:
                self._bus.count_thinned()
                self.count(batch.events)

    def count(self, events: Sequence[Event]) -> None:
        """Count `events` in the present second."""
        groups = grouped(events)
        self._current().add(groups)
        self.routes.count(groups)
        self._durations.count(groups)

    def snapshot(self, after: int = 0) -> Snapshot:
        """Return the totals as of this moment, and the seconds later than `after` (seconds since the epoch)."""
        seconds = self.seconds(after)
        total = _Bucket(0)
        total.merge(self._total)
        for second in self._seconds:
            total.merge(second)
        return Snapshot(
            events=sum(total.classes),
            missed=self._subscription.statistics().missed,
            classes=dict(zip(CLASSES, total.classes, strict=True)),
            latency=_latency(total.durations),
            seconds=seconds,
        )

    def seconds(self, after: int = 0) -> tuple[Second, ...]:
        """Return the seconds later than `after` alone: the totals, which take milliseconds, are not summed up."""
        self._catch_up()
        self._forget_old()
        latest = takewhile(lambda second: second.time > after, reversed(self._seconds))
        return tuple(second.freeze() for second in latest)[::-1]

    def by_route(self, window: int | None = None) -> list[RouteRow]:
        """Return the numbers of each route, as of this moment. See `RouteStats.rows`."""
        self._catch_up()
        return self.routes.rows(window)

    def durations(self) -> list[DurationSeries]:
        """Return how long requests took by method, route and status, as of this moment."""
        self._catch_up()
        return self._durations.snapshot()

    def _catch_up(self) -> None:
        self._bus.count_thinned()
        with suppress(anyio.WouldBlock, anyio.EndOfStream):
            while True:
                self.count(self._subscription.receive_nowait().events)

    def _current(self) -> "_Bucket":
        now = self._forget_old()
        if not self._seconds or self._seconds[-1].time < now:
            self._seconds.append(_Bucket(now))
        return self._seconds[-1]

    def _forget_old(self) -> int:
        now = int(self._clock())
        while self._seconds and self._seconds[0].time <= now - WINDOW:
            self._total.merge(self._seconds.popleft())
        return now


class _Bucket:
    __slots__ = ("_frozen", "classes", "durations", "time")

    def __init__(self, second: int) -> None:
        self.time = second
        self.classes = [0] * len(CLASSES)
        self.durations = Histogram()
        self._frozen: Second | None = None

    def add(self, groups: Iterable[Group]) -> None:
        self._frozen = None
        for group in groups:
            self.classes[_CLASS_OF.get(group.status // 100, _OTHER)] += group.count
            self.durations.merge(group.histogram)

    def merge(self, other: "_Bucket") -> None:
        self.classes = [mine + theirs for mine, theirs in zip(self.classes, other.classes, strict=True)]
        self.durations.merge(other.durations)

    def freeze(self) -> Second:
        if self._frozen is None:  # a second that is over is frozen once, for however many are to see it
            self._frozen = Second(self.time, tuple(self.classes), _latency(self.durations))
        return self._frozen


def _latency(durations: Histogram) -> Latency:
    p50, p95, p99 = durations.quantiles(_QUANTILES)
    return Latency(p50, p95, p99, durations.maximum if durations.count else None)
