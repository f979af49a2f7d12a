"""How late the event loop is: what a request's own clocks cannot see."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import anyio

WINDOW: Final = 300
"""Seconds of history kept."""

_EVERY: Final = 0.1
"""Seconds between two samples. A loop that is blocked for longer than this is always caught."""


@dataclass(frozen=True, slots=True)
class LagSecond:
    """The worst of one second."""

    time: int
    """Seconds since the epoch."""
    lag: float
    """Seconds that a timer was late."""
    in_flight: int = 0
    """Requests in flight, as far as samples saw them."""


@dataclass(frozen=True, slots=True)
class LagSnapshot:
    """What is known at one moment."""

    now: float
    """Seconds that the latest timer was late, or, if it should have come by now, is."""
    worst: float
    """Of the seconds kept."""
    seconds: tuple[LagSecond, ...]
    """Oldest first; seconds without a sample, because the loop was blocked all along, are left out."""


class LoopLag:
    """Samples how late timers come, and keeps the worst of each second for five minutes.

    :param in_flight: how many requests are in flight, which is sampled beside it
    :param clock: wall clock in seconds, for naming the second
    """

    def __init__(self, in_flight: Callable[[], int] = lambda: 0, *, clock: Callable[[], float] = time.time) -> None:
        self._in_flight = in_flight
        self._clock = clock
        self._seconds: deque[LagSecond] = deque()
        self._due: float | None = None
        self._latest = 0.0

    async def run(self) -> None:
        """Sample until cancelled."""
        try:
            while True:
                self._due = time.perf_counter() + _EVERY
                await anyio.sleep(_EVERY)
                self._note(time.perf_counter() - self._due)
        finally:
            self._due = None

    def snapshot(self, after: int = 0) -> LagSnapshot:
        """Return what is known, with the seconds later than `after` (seconds since the epoch)."""
        overdue = 0.0 if self._due is None else time.perf_counter() - self._due
        return LagSnapshot(
            now=max(self._latest, overdue),
            worst=max((second.lag for second in self._seconds), default=0.0),
            seconds=tuple(second for second in self._seconds if second.time > after),
        )

    def _note(self, lag: float) -> None:
        self._latest = lag = max(0.0, lag)
        now, in_flight = int(self._clock()), self._in_flight()
        if self._seconds and self._seconds[-1].time >= now:  # later, where the clock was set back
            last = self._seconds.pop()
            now, lag, in_flight = last.time, max(lag, last.lag), max(in_flight, last.in_flight)
        self._seconds.append(LagSecond(now, lag, in_flight))
        while self._seconds[0].time <= now - WINDOW:
            self._seconds.popleft()
