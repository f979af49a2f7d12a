"""Counts one run, request by request."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias, TypeVar

import msgspec

from reqscope.bus import Event
from reqscope.bus.groups import Group, grouped
from reqscope.bus.histogram import Histogram
from reqscope.bus.routestats import MAX_ROUTES, NO_ROUTE, OTHER
from reqscope.bus.tracelines import is_line

from .ends import by_second, ends_of
from .model import CLASSES, MAX_SECONDS, Durations, ErrorGroup, Numbers, Route, Run, Sample, Second

Key: TypeAlias = tuple[str, str]
N = TypeVar("N", bound=Numbers)

_CLIENT_ERROR: Final = 400
_SAMPLES: Final = 3
_MAX_GROUPS: Final = 100
_OPEN_SECONDS: Final = 15
"""Seconds whose percentiles can still change: a request is counted soon after it ended."""
_NANO: Final = 1_000_000_000
_QUANTILES: Final = (0.5, 0.95, 0.99)
_TEXT: Final = 500


class Tally:
    """The numbers of a run that goes on. For one event loop.

    :param run: what is known of it; its counts are filled in by `freeze`
    :param boot: names the bus, for the ids of samples
    """

    def __init__(self, run: Run, boot: str) -> None:
        self.run = run
        self.touched = time.monotonic()
        """When a request was last counted, by the monotonic clock."""
        self.by_itself = True
        """Whether it began by itself, and ends so."""
        self.only_marked = False
        """Whether it counts only requests that name it."""
        self._boot = boot
        self._total = _Counts()
        self._routes: dict[Key, _Counts] = {}
        self._seconds: dict[int, Second] = {}
        self._open: dict[int, Histogram] = {}
        self._failed: dict[tuple[Key, int, str | None], _Failed] = {}

    @property
    def requests(self) -> int:
        return self._total.requests

    def add(self, events: Sequence[Event]) -> None:
        """Count `events`, each in the second it ended in. Exported log lines are no requests."""
        began = time.thread_time()
        self.touched = time.monotonic()
        if 0 in [event.status for event in events]:
            events = [event for event in events if event.status or not is_line(event)]
        if events:
            ends = ends_of(events)
            first, last = min([event.time for event in events]), max(ends)
            self._note_times(first / _NANO, last / _NANO)
            for second, ended in by_second(events, ends, int(first // _NANO), int(last // _NANO)):
                self._add(second, ended)
            self._close_seconds()
        self.run.losses.recorder_seconds += time.thread_time() - began

    def vitals(self, second: int, *, lag: float, in_flight: int) -> None:
        """Note how busy the event loop was in `second`; the worst counts."""
        found = self._second(second)
        found.lag = max(found.lag or 0.0, lag)
        found.in_flight = max(found.in_flight or 0, in_flight)

    def process(self, seconds: Iterable[int], cpu: float | None, memory: int | None) -> None:
        """Note what the process used in `seconds`: several, where the event loop was too late to look at each."""
        for second in seconds:
            found = self._second(second)
            found.cpu, found.memory = cpu, memory

    def freeze(self) -> Run:
        """Return the run as it is now. What is counted later is not in it."""
        self._freeze_open(self._open)
        numbers = self._total.freeze(Numbers())
        return msgspec.structs.replace(
            self.run,
            requests=numbers.requests,
            errors=numbers.errors,
            statuses=numbers.statuses,
            received=numbers.received,
            sent=numbers.sent,
            durations=numbers.durations,
            routes=self._frozen_routes(),
            seconds=[msgspec.structs.replace(self._seconds[second]) for second in sorted(self._seconds)],
            error_groups=[self._frozen_group(*item) for item in self._failed.items()],
            losses=msgspec.structs.replace(self.run.losses),
            results=list(self.run.results),
        )

    def totals(self) -> Run:
        """Return the run with its total numbers alone, which costs little."""
        numbers = self._total.freeze(Numbers())
        return msgspec.structs.replace(
            self.run,
            requests=numbers.requests,
            errors=numbers.errors,
            statuses=numbers.statuses,
            received=numbers.received,
            sent=numbers.sent,
            durations=numbers.durations,
        )

    def top(self, most: int = 8) -> list[tuple[object, ...]]:
        """Return name, requests, errors, p50 and p95 of the busiest routes."""
        busiest = sorted(self._routes.items(), key=lambda item: item[1].requests, reverse=True)[:most]
        return [
            (f"{key[0]} {key[1]}".strip(), counts.requests, counts.errors, *counts.durations.quantiles((0.5, 0.95)))
            for key, counts in busiest
        ]

    def _add(self, second: int, events: Sequence[Event]) -> None:
        found, histogram = self._second(second), Histogram()
        failed = False
        for group in grouped(events):
            self._total.add(group)
            self._routes.setdefault(self._route_key(group.method, group.route), _Counts()).add(group)
            histogram.merge(group.histogram)
            found.classes[_class_of(group.status)] += group.count
            found.received += group.received
            found.sent += group.sent
            failed = failed or group.errors > 0 or group.status >= _CLIENT_ERROR
        if second not in self._open and found.p50 is None:
            self._open[second] = Histogram()
        if second in self._open:
            self._open[second].merge(histogram)
        if failed:
            self._note_failures(event for event in events if event.status >= _CLIENT_ERROR or event.error is not None)

    def _route_key(self, method: str, route: str | None) -> Key:
        key = (method, route or NO_ROUTE)
        return key if key in self._routes or len(self._routes) < MAX_ROUTES else ("", OTHER)

    def _second(self, second: int) -> Second:
        found = self._seconds.get(second)
        if found is None:
            if len(self._seconds) >= MAX_SECONDS:
                self._forget_second()
            found = self._seconds[second] = Second(time=second)
        return found

    def _forget_second(self) -> None:
        # The one that was noted first: looking for the earliest would let a batch of absurd times hold up the loop.
        first = next(iter(self._seconds))
        del self._seconds[first]
        self._open.pop(first, None)
        self.run.losses.forgotten_seconds += 1

    def _note_times(self, first: float, last: float) -> None:
        run = self.run
        run.first = first if run.first is None else min(run.first, first)
        run.last = last if run.last is None else max(run.last, last)

    def _note_failures(self, events: Iterable[Event]) -> None:
        alike: defaultdict[tuple[str, str | None, int, str | None], list[Event]] = defaultdict(list)
        for event in events:
            alike[event.method, event.route, event.status, event.error].append(event)
        for (method, route, status, error), group in alike.items():
            name = (self._route_key(method, route), status, error)
            if name not in self._failed and len(self._failed) >= _MAX_GROUPS:
                name = (("", OTHER), 0, None)
            self._failed.setdefault(name, _Failed()).add(group)

    def _close_seconds(self) -> None:
        newest = max(self._open, default=0)
        self._freeze_open(old := [second for second in self._open if second < newest - _OPEN_SECONDS])
        for second in old:
            del self._open[second]

    def _freeze_open(self, seconds: Sequence[int] | dict[int, Histogram]) -> None:
        for second in seconds:
            histogram, found = self._open[second], self._seconds[second]
            found.p50, found.p95, found.p99 = histogram.quantiles(_QUANTILES)
            found.maximum = histogram.maximum if histogram.count else None

    def _frozen_routes(self) -> list[Route]:
        routes = [counts.freeze(Route(method=key[0], route=key[1])) for key, counts in self._routes.items()]
        return sorted(routes, key=lambda route: route.requests, reverse=True)

    def _frozen_group(self, name: tuple[Key, int, str | None], failed: "_Failed") -> ErrorGroup:
        (method, route), status, error = name
        samples = [_sample(event, self._boot) for event in failed.samples]
        return ErrorGroup(method=method, route=route, status=status, error=error, count=failed.count, samples=samples)


class _Failed:
    __slots__ = ("count", "samples")

    def __init__(self) -> None:
        self.count = 0
        self.samples: list[Event] = []

    def add(self, events: Sequence[Event]) -> None:
        self.count += len(events)
        self.samples += events[: _SAMPLES - len(self.samples)]


class _Counts:
    __slots__ = ("durations", "errors", "minimum", "received", "requests", "sent", "statuses", "total")

    def __init__(self) -> None:
        self.requests = self.errors = self.received = self.sent = 0
        self.statuses: Counter[int] = Counter()
        self.durations = Histogram()
        self.total = 0.0
        self.minimum: float | None = None

    def add(self, group: Group) -> None:
        self.requests += group.count
        self.errors += group.errors
        self.received += group.received
        self.sent += group.sent
        self.statuses[group.status] += group.count
        if durations := group.durations:
            self.durations.merge(group.histogram)
            self.total += sum(durations)
            self.minimum = durations[0] if self.minimum is None else min(self.minimum, durations[0])

    def freeze(self, into: N) -> N:
        into.requests, into.errors, into.received, into.sent = self.requests, self.errors, self.received, self.sent
        into.statuses = dict(sorted(self.statuses.items()))
        into.durations = Durations(
            count=self.durations.count,
            total=self.total,
            minimum=self.minimum,
            maximum=self.durations.maximum,
            buckets=dict(sorted(self.durations.buckets().items())),
        )
        return into


def _class_of(status: int) -> int:
    return status // 100 - 2 if 200 <= status < 600 else len(CLASSES) - 1


def _sample(event: Event, boot: str) -> Sample:
    event.open()
    return Sample(
        event=f"{boot}-{event.seq}" if event.seq else "",
        time=event.time / _NANO,
        path=event.path[:_TEXT],
        duration=event.total,
        message=event.failure.message[:_TEXT] if event.failure is not None else "",
    )
