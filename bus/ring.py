"""The bounded store that every reader reads from."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import Final

from .batch import Batch
from .event import Event

_SIZE: Final[Callable[[Event], int]] = attrgetter("size")


@dataclass(frozen=True, slots=True)
class RingStatistics:
    """A snapshot of a ring. `published = kept + evicted`, always."""

    published: int
    kept: int
    evicted: int
    held_bytes: int
    capacity: int
    max_bytes: int
    max_age: float | None
    oldest_time: int | None
    """Wall clock of the oldest event kept, in nanoseconds since the epoch."""


class RingBuffer:
    """The last events, bounded by count, by bytes and by age, each with a running number.

    A bound is exceeded by the newest event at most: one that is larger than `max_bytes` on its own is kept
    until the next one comes.

    Not safe to call from several threads at once.

    :param capacity: events to keep, at least 1
    :param max_bytes: bytes to keep, by `Event.size`
    :param max_age: seconds to keep an event for, or None for no such bound
    :param clock: a monotonic clock in seconds, so that a wall clock that jumps evicts nothing
    :raises ValueError: a bound is not positive
    """

    def __init__(
        self,
        capacity: int = 10_000,
        max_bytes: int = 64 << 20,
        max_age: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if capacity < 1 or max_bytes < 1 or (max_age is not None and max_age <= 0):
            raise ValueError("a ring needs a positive capacity, max_bytes and max_age")
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.max_age = max_age
        self._clock = clock
        # A list of fixed length, not a deque: readers slice out of its middle at the speed of C.
        self._slots: list[Event | None] = [None] * capacity
        self._floor = 1
        """What is kept has this number at the least; by `capacity` it may be a later one."""
        self._last = 0
        self._bytes = 0
        self._arrivals: deque[float] = deque()

    @property
    def first(self) -> int:
        """Number of the oldest event kept; one past `last` when the ring is empty."""
        return max(self._floor, self._last - self.capacity + 1)

    @property
    def last(self) -> int:
        """Number of the newest event; 0 before the first."""
        return self._last

    def append(self, event: Event) -> int:
        """Keep `event`, give it the next number, evict what no longer fits, and return the number."""
        size = event.size
        if not size:
            event.size = size = event.measure()
        event.seq = seq = self._last + 1
        index = seq % self.capacity
        oldest = self._slots[index]
        if oldest is not None:
            size -= oldest.size
        # At once, so that nothing can come in between.
        self._slots[index], self._last, self._bytes = event, seq, self._bytes + size
        if self._bytes > self.max_bytes:
            self._evict_bytes()
        if self.max_age is not None:
            self._arrivals.append(self._clock())
            self._evict_old()
        return seq

    def extend(self, events: Sequence[Event]) -> None:
        """Keep `events` as if each had been appended, at less cost."""
        if self.max_age is not None or len(events) > self.capacity:
            for event in events:
                self.append(event)
            return
        start = (self._last + 1) % self.capacity
        there = min(len(events), self.capacity - start)  # the rest goes to the beginning
        for seq, event in enumerate(events, self._last + 1):
            event.seq = seq
        if not all(sizes := [event.size for event in events]):
            for event in events:
                event.size = event.size or event.measure()
            sizes = [event.size for event in events]
        self._last += len(events)
        self._bytes += sum(sizes)
        self._replace(start, events[:there])
        self._replace(0, events[there:])
        if self._bytes > self.max_bytes:
            self._evict_bytes()

    def grow(self, event: Event, size: int) -> None:
        """Count `size` more bytes for `event`, which has grown since it was kept. It may be evicted by that."""
        if event.seq >= self.first and self._slots[event.seq % self.capacity] is event:
            self._bytes, event.size = self._bytes + size, event.size + size
            if self._bytes > self.max_bytes:
                self._evict_bytes()

    def forget(self, seq: int) -> None:
        """Evict what there is up to event number `seq`, because all who read here have seen it.

        What comes next finds its memory free and still in the processor's caches.
        """
        first, last = self.first, min(seq, self._last)
        start, gone = first % self.capacity, max(0, last - first + 1)
        there = min(gone, self.capacity - start)  # the rest is at the beginning
        self._replace(start, [None] * there)
        self._replace(0, [None] * (gone - there))
        self._floor = max(self._floor, last + 1)

    def since(
        self, cursor: int, limit: int | None = None, *, max_bytes: int | None = None, sealed: bool = False
    ) -> Batch:
        """Return what came after event number `cursor`, oldest first.

        :param limit: return this many events at the most
        :param max_bytes: return events of so many bytes at the most, by `Event.size`, but one in any case
        :param sealed: leave events as they are, for readers of numbers; opening costs microseconds for each
        :raises ValueError: no event has that number yet
        """
        if cursor > self._last:
            raise ValueError(f"cursor {cursor} is ahead of the newest event, {self._last}")
        if self.max_age is not None:
            self._evict_old()
        first = max(cursor + 1, self.first)
        last = self._last if limit is None else min(self._last, first + limit - 1)
        events = self._slice(first, last)
        if max_bytes is not None and (fitting := _fitting(events, max_bytes)) < len(events):
            del events[fitting:]
            last = first + fitting - 1
        if not sealed:
            for event in events:
                event.open()
        return Batch(events, first - cursor - 1, last)

    def get(self, seq: int) -> Event | None:
        """Return event number `seq`, or None if it was evicted or has not come yet."""
        if self.max_age is not None:
            self._evict_old()
        event = self._slots[seq % self.capacity] if self.first <= seq <= self._last else None
        return event and event.open()

    def statistics(self) -> RingStatistics:
        if self.max_age is not None:
            self._evict_old()
        kept = self._last - self.first + 1
        oldest = self._slots[self.first % self.capacity]
        return RingStatistics(
            published=self._last,
            kept=kept,
            evicted=self.first - 1,
            held_bytes=self._bytes,
            capacity=self.capacity,
            max_bytes=self.max_bytes,
            max_age=self.max_age,
            oldest_time=oldest.time if oldest is not None else None,
        )

    def _slice(self, first: int, last: int) -> list[Event]:
        if last < first:
            return []
        start, stop = first % self.capacity, last % self.capacity + 1
        slots: list[Event] = self._slots  # type: ignore[assignment]  # numbers in range name filled slots
        return slots[start:stop] if start < stop else slots[start:] + slots[:stop]

    def _replace(self, start: int, events: Sequence[Event | None]) -> None:
        stop = start + len(events)
        evicted = [event.size for event in self._slots[start:stop] if event is not None]
        self._slots[start:stop] = events
        self._bytes -= sum(evicted)

    def _evict_bytes(self) -> None:
        while self._bytes > self.max_bytes and self.first < self._last:
            self._evict_first()

    def _evict_old(self) -> None:
        assert self.max_age is not None
        arrivals = self._arrivals
        while len(arrivals) > self._last - self.first + 1:  # gone by another bound already
            arrivals.popleft()
        limit = self._clock() - self.max_age
        while arrivals and arrivals[0] < limit:
            arrivals.popleft()
            self._evict_first()

    def _evict_first(self) -> None:
        first = self.first
        index = first % self.capacity
        event = self._slots[index]
        assert event is not None
        self._slots[index], self._bytes, self._floor = None, self._bytes - event.size, first + 1


def _fitting(events: Sequence[Event], max_bytes: int) -> int:
    """Return how many events, from the first on, are of `max_bytes` together; at least one."""
    if sum(map(_SIZE, events)) <= max_bytes:  # as nearly always
        return len(events)
    held = accumulate(map(_SIZE, events))
    return max(1, next((number for number, size in enumerate(held) if size > max_bytes), len(events)))
