"""Counts one run, request by request."""

import time
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import Final, TypeAlias, TypeVar

import msgspec

from reqscope.bus import Event
from reqscope.bus.histogram import Histogram
from reqscope.bus.routestats import MAX_ROUTES, NO_ROUTE, OTHER

from .model import CLASSES, Durations, ErrorGroup, Numbers, Route, Run, Sample, Second

Key: TypeAlias = tuple[str, str]
N = TypeVar("N", bound=Numbers)

_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_SAMPLES: Final = 3
_MAX_GROUPS: Final = 100
_OPEN_SECONDS: Final = 15
"""Seconds whose percentiles can still change: a request is counted soon after it ended."""
_NANO: Final = 1_000_000_000
_QUANTILES: Final = (0.5, 0.95, 0.99)
_TEXT: Final = 500
_status: Final = attrgetter("status")
_received: Final = attrgetter("request_size")
_sent: Final = attrgetter("response_size")


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
        """Count `events`, each in the second it ended in."""
        began = time.perf_counter()
        self.touched = time.monotonic()
        groups: dict[tuple[int, str, str | None], list[Event]] = {}
        for event in events:
            total = event.total
            second = (event.time if total is None else event.time + int(total * _NANO)) // _NANO
            key = (second, event.method, event.route)
            if key in groups:
                groups[key].append(event)
            else:
                groups[key] = [event]
        for (second, method, route), group in groups.items():
            self._add(second, self._route_key(method, route), group)
        self._note_times(events)
        self._close_seconds()
        self.run.losses.recorder_seconds += time.perf_counter() - began

    def vitals(self, second: int, *, lag: float, in_flight: int) -> None:
        """Note how busy the event loop was in `second`; the worst counts."""
        found = self._second(second)
        found.lag = max(found.lag or 0.0, lag)
        found.in_flight = max(found.in_flight or 0, in_flight)

    def process(self, second: int, cpu: float | None, memory: int | None) -> None:
        """Note what the process used in `second`."""
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

    def _add(self, second: int, key: Key, events: list[Event]) -> None:
        counts = _Counts()
        counts.add(events)
        self._total.merge(counts)
        self._routes.setdefault(key, _Counts()).merge(counts)
        found = self._second(second)
        for status, count in counts.statuses.items():
            found.classes[_class_of(status)] += count
        found.received += counts.received
        found.sent += counts.sent
        if second not in self._open and found.p50 is None:
            self._open[second] = Histogram()
        if second in self._open:
            self._open[second].merge(counts.durations)
        if counts.bad:
            for event in events:
                if event.status >= _CLIENT_ERROR or event.error is not None:
                    self._note_failure(key, event)

    def _route_key(self, method: str, route: str | None) -> Key:
        key = (method, route or NO_ROUTE)
        return key if key in self._routes or len(self._routes) < MAX_ROUTES else ("", OTHER)

    def _second(self, second: int) -> Second:
        found = self._seconds.get(second)
        if found is None:
            found = self._seconds[second] = Second(time=second)
        return found

    def _note_times(self, events: Sequence[Event]) -> None:
        run = self.run
        first = min(event.time for event in events) / _NANO
        last = max(event.time + int((event.total or 0.0) * _NANO) for event in events) / _NANO
        run.first = first if run.first is None else min(run.first, first)
        run.last = last if run.last is None else max(run.last, last)

    def _note_failure(self, key: Key, event: Event) -> None:
        name = (key, event.status, event.error)
        if name not in self._failed and len(self._failed) >= _MAX_GROUPS:
            name = (("", OTHER), 0, None)
        group = self._failed.setdefault(name, _Failed())
        group.count += 1
        if len(group.samples) < _SAMPLES:
            group.samples.append(event)

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


class _Counts:
    __slots__ = ("bad", "durations", "errors", "minimum", "received", "requests", "sent", "statuses", "total")

    def __init__(self) -> None:
        self.requests = self.errors = self.bad = self.received = self.sent = 0
        self.statuses: Counter[int] = Counter()
        self.durations = Histogram()
        self.total = 0.0
        self.minimum: float | None = None

    def add(self, events: list[Event]) -> None:
        self.requests += len(events)
        self.statuses.update(map(_status, events))
        self.received += sum(map(_received, events))
        self.sent += sum(map(_sent, events))
        self.errors += sum(event.status >= _SERVER_ERROR or event.error is not None for event in events)
        self.bad += sum(event.status >= _CLIENT_ERROR or event.error is not None for event in events)
        timed = [event.total for event in events if event.total is not None and event.kind != "websocket"]
        if timed:
            self.durations.record_all(timed)
            self.total += sum(timed)
            self.minimum = min(timed) if self.minimum is None else min(self.minimum, *timed)

    def merge(self, other: "_Counts") -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.received += other.received
        self.sent += other.sent
        self.statuses.update(other.statuses)
        self.durations.merge(other.durations)
        self.total += other.total
        if other.minimum is not None:
            self.minimum = other.minimum if self.minimum is None else min(self.minimum, other.minimum)

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
