"""Numbers by route, over every event, whatever the ring still holds."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from .groups import Group
from .histogram import Histogram

MAX_ROUTES: Final = 500
"""Routes told apart. Methods and ingested routes come from clients, so there has to be a bound."""

OTHER: Final = "(other)"
NO_ROUTE: Final = "(no route)"
WINDOWS: Final = (10, 60, 300)
"""Seconds that numbers can be had for, beside all of the time."""

_SLICE: Final = 5
"""Seconds in one slice of a window: a window ends up to so much later than it says."""

_QUANTILES: Final = (0.5, 0.95, 0.99)

Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One route within one window."""

    method: str
    route: str
    """The template; `(no route)` where none matched, `(other)` for all beyond the first 500."""
    count: int
    rate: float
    """Requests per second of the window, or since the first."""
    errors: int
    """Status 500 and above, or an exception."""
    p50: float | None
    """Seconds to the last byte, within 1 %; None where nothing was timed."""
    p95: float | None
    p99: float | None
    maximum: float | None
    received: int
    """Bytes of request bodies."""
    sent: int
    """Bytes of response bodies."""
    last: int
    """When the last one was counted, in seconds since the epoch."""


class RouteStats:
    """Counts, errors, bytes and latencies by method and route template, in total and for the last five minutes.

    :param clock: wall clock in seconds
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._routes: dict[Key, _Route] = {}

    def count(self, groups: Iterable[Group]) -> None:
        """Count the requests of `groups` now."""
        now = int(self._clock())
        for group in groups:
            self._route((group.method, group.route or NO_ROUTE), now).add(group, now)

    def rows(self, window: int | None = None) -> list[RouteRow]:
        """Return the routes that had requests in the last `window` seconds, the busiest first; None is all the time."""
        now = int(self._clock())
        rows = (route.row(key, now, window) for key, route in self._routes.items())
        return sorted((row for row in rows if row.count), key=lambda row: row.count, reverse=True)

    def _route(self, key: Key, now: int) -> "_Route":
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= MAX_ROUTES:
                key = ("", OTHER)
            route = self._routes.setdefault(key, _Route(now))
        return route


class _Counts:
    __slots__ = ("durations", "errors", "events", "received", "sent", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.events = 0
        self.errors = 0
        self.received = 0
        self.sent = 0
        self.durations = Histogram()

    def add(self, group: Group) -> None:
        self.events += group.count
        self.errors += group.errors
        self.received += group.received
        self.sent += group.sent
        self.durations.merge(group.histogram)

    def merge(self, other: "_Counts") -> None:
        self.events += other.events
        self.errors += other.errors
        self.received += other.received
        self.sent += other.sent
        self.durations.merge(other.durations)


class _Route:
    __slots__ = ("last", "slices", "total")

    def __init__(self, now: int) -> None:
        self.total = _Counts(now)
        """Of the slices that are over."""
        self.slices: deque[_Counts] = deque()
        self.last = now

    def add(self, group: Group, now: int) -> None:
        start = now - now % _SLICE
        if not self.slices or self.slices[-1].start < start:
            self.slices.append(_Counts(start))
        self.slices[-1].add(group)
        self.last = now
        while self.slices[0].start < now - WINDOWS[-1] - _SLICE:
            self.total.merge(self.slices.popleft())

    def row(self, key: Key, now: int, window: int | None) -> RouteRow:
        counts = _Counts(0)
        if window is None:
            counts.merge(self.total)
        for part in self.slices:
            if window is None or part.start > now - window - _SLICE:
                counts.merge(part)
        p50, p95, p99 = counts.durations.quantiles(_QUANTILES)
        return RouteRow(
            method=key[0],
            route=key[1],
            count=counts.events,
            rate=counts.events / max(1, window or now - self.total.start + 1),
            errors=counts.errors,
            p50=p50,
            p95=p95,
            p99=p99,
            maximum=counts.durations.maximum if counts.durations.count else None,
            received=counts.received,
            sent=counts.sent,
            last=self.last,
        )
