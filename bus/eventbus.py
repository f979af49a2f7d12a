"""Publish and subscribe, inside one process."""

import secrets
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import anyio

from .event import Event
from .failures import Failures
from .inflight import InFlight
from .ring import RingBuffer, RingStatistics
from .subscription import Subscription, SubscriptionStatistics
from .worker import thread_scheduler

Counter: TypeAlias = Callable[[Sequence[Event]], None]
"""Counts events that are not kept."""

_NEVER: Final = sys.maxsize
_COUNTED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """A snapshot of a bus, its ring and its readers."""

    boot: str
    ring: RingStatistics
    readers: tuple[SubscriptionStatistics, ...]
    refused: int
    """Events that were not published, because the bus was closed, or threads were too far ahead of it."""
    thinned: int
    """Events that were counted and, by sampling, not kept. They are not among the published ones."""


class EventBus:
    """One ring, and any number of cursors into it.

    Publishing is synchronous, never waits, and costs the same whatever reads: readers that are busy or stuck
    are not touched, and readers that are asleep are woken by one shared event, once per batch.

    The bus belongs to the event loop in which it is read. Only `publish_from_thread` may be called from elsewhere.

    :param capacity: events to keep
    :param max_bytes: bytes to keep
    :param max_age: seconds to keep an event for, or None
    """

    def __init__(self, capacity: int = 10_000, max_bytes: int = 64 << 20, max_age: float | None = None) -> None:
        self.ring = RingBuffer(capacity, max_bytes, max_age)
        self.boot = secrets.token_hex(4)
        """Names this life of the bus, so that numbers of another one are not taken for its own."""
        self.in_flight = InFlight()
        """What has begun and is no event yet."""
        self.failures = Failures()
        """Exceptions, grouped."""
        self._append = self.ring.append
        self._wake_at = _NEVER
        """Number of the event that some reader sleeps until: comparing with it is all that readers cost a publisher."""
        self._news: anyio.Event | None = None
        """What readers sleep on; made by the first that does, so that waking them costs a publisher next to nothing."""
        self._closed = False
        self._refused = 0
        self._thinned = 0
        self._uncounted: list[Event] = []
        self._counters: list[Counter] = []
        self._readers: list[Subscription] = []
        self._inbox: deque[Event] = deque()
        self._call_soon: Callable[[Callable[[], None]], object] | None = None

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def thinned(self) -> int:
        """Events that were counted and, by sampling, not kept."""
        return self._thinned

    def publish(self, event: Event) -> int:
        """Put `event` on the bus and return its number; 0 when the bus is closed, which is counted.

        Never blocks and never raises. To be called in the event loop's thread.
        """
        seq = self._append(event)
        if seq >= self._wake_at:
            self._wake()
        return seq

    def publish_all(self, events: Sequence[Event]) -> None:
        """Put `events` on the bus in their order, at less cost than one after the other.

        Like `publish` in all else. More at once than the ring keeps are missed by every reader.
        """
        if self._closed:
            self._refused += len(events)
            return
        self.ring.extend(events)
        if self.ring.last >= self._wake_at:
            self._wake()

    def thin(self, event: Event) -> None:
        """Have `event` counted without keeping it: it gets no number, and no reader sees it.

        To be called in the event loop's thread. Never blocks.
        """
        if self._closed:
            self._refused += 1
            return
        self._thinned += 1
        self._uncounted.append(event)
        if len(self._uncounted) >= _COUNTED_AT_ONCE:
            self.count_thinned()

    def add_counter(self, count: Counter) -> None:
        """Have `count` called with every event that is thinned out, in batches."""
        self._counters.append(count)

    def count_thinned(self) -> None:
        """Hand what was thinned out so far to the counters."""
        batch, self._uncounted = self._uncounted, []
        if batch:
            for count in self._counters:
                count(batch)

    def publish_from_thread(self, event: Event) -> None:
        """Put `event` on the bus from any thread, without waiting for it to get there.

        Events from one thread keep their order. Those published before the bus has its first reader wait for it.
        More than the ring would keep are not taken, which is counted.
        """
        if self._closed or len(self._inbox) >= self.ring.capacity:
            self._refused += 1
            return
        self._inbox.append(event)
        if self._call_soon is not None:
            try:
                self._call_soon(self._empty_inbox)
            except RuntimeError:  # the loop is gone, and with it every reader
                self._refused += len(self._inbox)
                self._inbox.clear()

    def subscribe(
        self,
        after: int | None = None,
        *,
        linger: float = 0.0,
        limit: int | None = None,
        max_bytes: int | None = None,
        name: str = "subscriber",
        sealed: bool = False,
    ) -> Subscription:
        """Return a reader, to be entered with `async with` and iterated with `async for`.

        :param after: begin behind this event number: 0 for all that the ring still has, None for what is to come
        :param linger: seconds between two batches at the least, unless half the ring has filled meanwhile; the first
            after a quiet spell comes at once, and so does what a batch had no room for
        :param limit: events in a batch at the most
        :param max_bytes: bytes of the events in a batch at the most, by `Event.size`; one that is larger comes alone
        :param name: what statistics call it
        :param sealed: leave captured events sealed, for a reader that needs their numbers only, or opens few of them
        :raises ValueError: there has been no event number `after` yet, or a limit is not positive
        """
        if after is not None and not 0 <= after <= self.ring.last:
            raise ValueError(f"no event {after} yet: the newest is {self.ring.last}")
        if (limit is not None and limit < 1) or (max_bytes is not None and max_bytes < 1):
            raise ValueError("the limits of a batch must be positive")
        cursor = self.ring.last if after is None else after
        return Subscription(self, name, cursor, linger, limit, max_bytes, sealed)

    def open(self) -> None:
        """Take events again after `close`, in whatever event loop is running now."""
        if self._closed:
            self._closed = False
            self._append = self.ring.append
            self._news = None
            self._wake_at = _NEVER
            self._call_soon = None

    def close(self) -> None:
        """Refuse what is published from now on, and let readers end once they have read the rest."""
        if not self._closed:
            self._empty_inbox()
            self._closed = True
            self._append = self._refuse
            self._wake()

    def event_id(self, event: Event) -> str:
        """Return the name of a published event, unique across restarts."""
        return f"{self.boot}-{event.seq}"

    def find(self, event_id: str) -> Event | None:
        """Return the event of that name, or None if it is not, or no longer, in the ring."""
        boot, _, seq = event_id.partition("-")
        known = boot == self.boot and seq.isascii() and seq.isdecimal() and len(seq) < 20 and str(int(seq)) == seq
        return self.ring.get(int(seq)) if known else None

    def statistics(self) -> BusStatistics:
        return BusStatistics(
            boot=self.boot,
            ring=self.ring.statistics(),
            readers=tuple(reader.statistics() for reader in self._readers),
            refused=self._refused,
            thinned=self._thinned,
        )

    # What a Subscription needs.

    def attach(self, reader: Subscription) -> None:
        """Count `reader` among the bus's readers, and take what threads have published so far."""
        self._call_soon = thread_scheduler()
        self._empty_inbox()
        self._readers.append(reader)

    def detach(self, reader: Subscription) -> None:
        self._readers.remove(reader)

    async def wait_beyond(self, cursor: int) -> None:
        """Wait until there is an event after number `cursor`, or the bus is closed. Safe to cancel."""
        while self.ring.last <= cursor and not self._closed:
            self._wake_at = min(self._wake_at, cursor + 1)
            if self._news is None:
                self._news = anyio.Event()
            await self._news.wait()

    def _wake(self) -> None:
        # Everybody: those who sleep until a later event say so again.
        news, self._news = self._news, None
        self._wake_at = _NEVER
        if news is not None:
            news.set()

    def _refuse(self, event: Event) -> int:
        self._refused += 1
        return 0

    def _empty_inbox(self) -> None:
        while self._inbox:
            self.publish(self._inbox.popleft())
