"""A reader's place in the ring."""

from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import anyio

from .batch import Batch

if TYPE_CHECKING:
    from .eventbus import EventBus

_OPENING: Final = 0.002
"""Seconds of opening events before the event loop gets a turn: that is the application's time."""


@dataclass(frozen=True, slots=True)
class SubscriptionStatistics:
    """A snapshot of one reader. `published since it began = delivered + missed + pending`, always."""

    name: str
    delivered: int
    missed: int
    """Evicted before this reader came to them."""
    pending: int
    """In the ring, and not yet looked at."""


class Subscription:
    """A cursor into the ring of a bus, to be used by one task. Made by `EventBus.subscribe`.

    It holds no events of its own, so a reader that stops reading costs the bus nothing and loses only what
    the ring evicts, of which its next batch says how much that was.

    Iterating ends once the bus is closed and everything in it was delivered.
    """

    def __init__(
        self,
        bus: "EventBus",
        name: str,
        cursor: int,
        linger: float,
        limit: int | None,
        max_bytes: int | None,
        sealed: bool,
    ) -> None:
        self.name = name
        self._bus = bus
        self._cursor = cursor
        self._linger = linger
        self._limit = limit
        self._max_bytes = max_bytes
        self._sealed = sealed
        self._not_before = 0.0
        self._delivered = 0
        self._missed = 0

    async def __aenter__(self) -> Self:
        self._bus.attach(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bus.detach(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    @property
    def cursor(self) -> int:
        """Number of the last event that was delivered or missed."""
        return self._cursor

    def receive_nowait(self) -> Batch:
        """Return what is new.

        :raises anyio.WouldBlock: nothing is
        :raises anyio.EndOfStream: nothing is, and the bus is closed
        """
        batch = self._peek()
        if not self._sealed:
            for event in batch.events:
                event.open()
        return self._delivered_now(batch)

    async def receive(self) -> Batch:
        """Wait until there is something new, and return all of it.

        At once when it was quiet, or when the batch before had to leave something over; otherwise not before `linger`
        seconds have passed since that one.
        A checkpoint. If cancelled, the cursor is where it was and nothing is lost.

        :raises anyio.EndOfStream: the bus is closed and everything was delivered
        """
        await anyio.lowlevel.checkpoint()
        while True:
            await self._bus.wait_beyond(self._cursor)
            await self._pace()
            try:
                batch = self._peek()
            except anyio.WouldBlock:  # what there was has grown too old while we paced
                continue
            if not self._sealed:
                await _open_all(batch)
            whole = batch.next == self._bus.ring.last
            self._not_before = anyio.current_time() + self._linger if whole else 0.0
            return self._delivered_now(batch)

    def _peek(self) -> Batch:
        batch = self._bus.ring.since(self._cursor, self._limit, max_bytes=self._max_bytes, sealed=True)
        if batch.next == self._cursor:
            raise anyio.EndOfStream if self._bus.closed else anyio.WouldBlock
        return batch

    def _delivered_now(self, batch: Batch) -> Batch:
        self._cursor = batch.next
        self._delivered += len(batch.events)
        self._missed += batch.missed
        return batch

    async def _pace(self) -> None:
        if self._linger and (wait := self._not_before - anyio.current_time()) > 0:
            # Half a ring ahead is too far: a burst must not lap a reader that only meant to be thrifty.
            with anyio.move_on_after(wait):
                await self._bus.wait_beyond(self._cursor + self._bus.ring.capacity // 2 - 1)

    def statistics(self) -> SubscriptionStatistics:
        ring = self._bus.ring
        evicted = max(0, ring.first - 1 - self._cursor)
        return SubscriptionStatistics(
            name=self.name,
            delivered=self._delivered,
            missed=self._missed + evicted,
            pending=ring.last - self._cursor - evicted,
        )


async def _open_all(batch: Batch) -> None:
    turn_ends = perf_counter() + _OPENING
    for event in batch.events:
        if event.sealed is None:
            continue
        if perf_counter() > turn_ends:
            await anyio.lowlevel.checkpoint()
            turn_ends = perf_counter() + _OPENING
        event.open()
