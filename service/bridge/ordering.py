"""Events of several workers, put in the order in which they ended."""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from math import inf, isfinite
from typing import Final

from reqscope.bus import Event

WINDOW: Final = 0.04
"""Seconds that events are held at most, so that those of several workers can be put in order: as long as one packs."""


class Ordering:
    """Holds events until nothing can come any more that ended before them, or for as long as the window lasts.

    A batch is taken in as a whole: what is done for each event is done in comprehensions.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._ends: list[int] = []
        """When each of them ended, in nanoseconds by the wall clock."""
        self._arrived: deque[tuple[float, int]] = deque()
        """For each batch, when it arrived by the event loop's clock, and when the last of it ended."""

    def add(self, events: Sequence[Event], now: float) -> int:
        """Take in what one worker told of at once, and return when the last of it ended."""
        ends = _ends_of(events)
        self._events += events
        self._ends += ends
        self._arrived.append((now, max(ends)))
        return ends[-1]

    def due(self, told: int, now: float) -> list[Event]:
        """Take out, in order, all that ended until `told`, and all that has waited for long enough.

        Of the latter what ended before it, too: a worker that is idle, or whose clock is late, holds nothing up.

        :param told: until when every worker has told of what ended
        """
        while self._arrived and self._arrived[0][0] <= now - WINDOW:
            told = max(told, self._arrived.popleft()[1])
        return self._take_out(told)

    def rest(self) -> list[Event]:
        """Take out, in order, all that there is."""
        self._arrived.clear()
        return self._take_out(max(self._ends, default=0))

    @property
    def patience(self) -> float:
        """Until when nothing need be taken out if nothing more comes, by the event loop's clock."""
        return self._arrived[0][0] + WINDOW if self._arrived else inf

    def _take_out(self, until: int) -> list[Event]:
        order = sorted(range(len(self._ends)), key=self._ends.__getitem__)
        events, ends = [self._events[each] for each in order], [self._ends[each] for each in order]
        due = bisect_right(ends, until)
        self._events, self._ends = events[due:], ends[due:]
        while self._arrived and self._arrived[0][1] <= until:
            self._arrived.popleft()
        return events[:due]


def _ends_of(events: Sequence[Event]) -> list[int]:
    # Within one process events are in the order in which they ended, because that is when they are published.
    try:
        return [event.time + int((event.total or 0.0) * 1e9) for event in events]
    except (ValueError, OverflowError):  # a total that is no number, as a record may have
        took = [(event.total or 0.0) * 1e9 for event in events]
        return [event.time + (int(each) if isfinite(each) else 0) for event, each in zip(events, took, strict=True)]
