"""How long requests took, in the buckets that OpenTelemetry advises, over every event."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

from .groups import Group
from .routestats import MAX_ROUTES, OTHER
from .visible import visible

BOUNDARIES: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds: `http.server.request.duration` of OpenTelemetry's semantic conventions 1.44. A bound is in its bucket."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
"""Those that the conventions know."""
OTHER_METHOD: Final = "_OTHER"

MAX_SERIES: Final = 2_000
"""Combinations of method, route and status told apart; beyond, routes are no longer."""

_LONGEST_ROUTE: Final = 300
_LONGEST: Final = 1e9
"""Seconds that a request counts for at the most: one absurd record must not make the sum infinite."""

Labels: TypeAlias = tuple[str, str, str]


class DurationSeries(NamedTuple):
    """The requests of one method, route and status."""

    method: str
    """`_OTHER` for one that the conventions do not know."""
    route: str
    """The template, in characters that can be seen; empty where none matched, `(other)` for all beyond the bounds."""
    status: str
    """Three digits; empty where none is known."""
    cumulative: list[int]
    """How many took as long as each of `BOUNDARIES` or less, and last, how many there were."""
    total: float
    """Seconds that all of them took together."""


class RequestDurations:
    """Exact counts of durations by method, route and status, from the beginning.

    Requests and records that say how long they took are counted; WebSockets, for which nobody waited, are not.
    """

    def __init__(self) -> None:
        self._series: dict[Labels, _Series] = {}
        self._routes: set[str] = set()

    def count(self, groups: Iterable[Group]) -> None:
        """Count the durations of `groups`."""
        for group in groups:
            if group.durations:
                self._of(group.method, group.route, group.status).add(group.durations)

    def snapshot(self) -> list[DurationSeries]:
        """Return what was counted so far, in no order."""
        return [
            DurationSeries(*labels, list(accumulate(series.buckets)), series.total)
            for labels, series in self._series.items()
        ]

    def _of(self, method: str, route: str | None, status: int) -> "_Series":
        method = method if method in METHODS else OTHER_METHOD
        code = str(status) if 100 <= status <= 599 else ""
        labels = (method, visible((route or "")[:_LONGEST_ROUTE]), code)
        series = self._series.get(labels)
        if series is None:
            if len(self._series) >= MAX_SERIES or not self._admits(labels[1]):
                labels = (method, OTHER, code)
            series = self._series.setdefault(labels, _Series())
        return series

    def _admits(self, route: str) -> bool:
        if route and len(self._routes) < MAX_ROUTES:
            self._routes.add(route)
        return not route or route in self._routes


class _Series:
    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDARIES) + 1)
        self.total = 0.0

    def add(self, durations: Sequence[float]) -> None:
        values, total = durations, sum(durations)
        if not (durations[0] > 0 and durations[-1] <= _LONGEST and total == total):
            # Not a number is none, and counts as the negative ones do.
            values = sorted([min(seconds, _LONGEST) if seconds > 0 else 0.0 for seconds in durations])
            total = sum(values)
        before = 0
        for bucket, boundary in enumerate(BOUNDARIES):
            up_to = bisect_right(values, boundary, before)
            self.buckets[bucket] += up_to - before
            before = up_to
        self.buckets[-1] += len(values) - before
        self.total += total
