"""Where events go to be kept: a sink, and the runner that feeds it."""

import logging
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import anyio
from anyio import to_thread

from .event import Event
from .eventbus import EventBus
from .subscription import SubscriptionStatistics

WhenFull: TypeAlias = Literal["drop", "block"]

# Not structlog: its default prints to standard output, which may be the very sink that fails, and raises.
logger = logging.getLogger(__name__)

_LINGER = 0.05
_WARN_EVERY = 10.0


class Sink(Protocol):
    """A destination. Its methods are called from one worker thread at a time, never from the event loop."""

    @property
    def name(self) -> str: ...

    def write(self, events: list[Event]) -> int:
        """Write a batch, in order, and return how many of them were written.

        :raises OSError: none was, or it is not known how many
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SinkStatistics:
    """A snapshot of a sink. Everything its reader got from the bus is `written + lost + held`, always."""

    name: str
    written: int
    lost: int
    """Dropped because the hold was full, or failed to be written."""
    held: int
    """Waiting to be written, or being written."""
    failing: bool
    """The last write failed."""
    reader: SubscriptionStatistics


class SinkRunner:
    """Feeds one sink from a bus, in batches, off the event loop.

    What the sink is too slow for waits in a bounded hold. When that is full, `drop` loses the newest events
    and keeps memory at the bound; `block` stops reading, so that the ring is the buffer and what it evicts in
    the meantime is missed. Publishing waits for neither.

    :param hold: events to hold at the most
    """

    def __init__(
        self,
        bus: EventBus,
        sink: Sink,
        *,
        hold: int = 10_000,
        when_full: WhenFull = "drop",
        batch: int = 1_000,
    ) -> None:
        self._subscription = bus.subscribe(linger=_LINGER, limit=batch, name=f"sink:{sink.name}")
        self._sink = sink
        self._capacity = max(hold, batch)
        self._when_full = when_full
        self._hold: deque[list[Event]] = deque()
        self._held = 0
        self._written = 0
        self._lost = 0
        self._failing = False
        self._warned_at = float("-inf")
        self._changed = anyio.Event()
        self._ended = False

    async def run(self) -> None:
        """Feed the sink until the bus is closed and everything is written, then close it.

        If cancelled, what is held is counted as lost. A write that hangs in its thread is abandoned.
        """
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write_all)
                async with self._subscription as subscription:
                    async for batch in subscription:
                        await self._take(batch.events)
                self._ended = True
                self._notify()
        finally:
            if self._held:
                logger.warning("log sink %s: %d events were not written before the end", self._sink.name, self._held)
            self._lost += self._held
            self._held = 0
            self._hold.clear()
            self._sink.close()

    async def _take(self, events: list[Event]) -> None:
        while self._when_full == "block" and self._held and self._held + len(events) > self._capacity:
            await self._changed.wait()
        room = self._capacity - self._held
        if len(events) > room:
            self._lost += len(events) - room
            events = events[:room]
            await self._warn("does not keep up, so events are dropped")
        if events:
            self._hold.append(events)
            self._held += len(events)
            self._notify()

    async def _write_all(self) -> None:
        while self._hold or not self._ended:
            if self._hold:
                await self._write_first()
            else:
                await self._changed.wait()

    async def _write_first(self) -> None:
        batch, written, problem = self._hold[0], 0, None
        try:
            written = await to_thread.run_sync(self._sink.write, batch, abandon_on_cancel=True)
        except Exception as error:  # a sink may be the user's; whatever it raises stays here
            problem = f"cannot write: {type(error).__name__}: {error}"
        self._hold.popleft()
        self._held -= len(batch)
        self._written += written
        self._lost += len(batch) - written
        self._failing = problem is not None
        self._notify()
        if problem is not None:
            await self._warn(problem)

    def _notify(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def _warn(self, problem: str) -> None:
        now = anyio.current_time()
        if now - self._warned_at < _WARN_EVERY:
            return
        self._warned_at = now
        message = f"log sink {self._sink.name} {problem}; {self._lost} events lost so far"
        # In a thread, because whoever reads our standard error may be as stuck as the sink is.
        await to_thread.run_sync(logger.warning, message, abandon_on_cancel=True)

    def statistics(self) -> SinkStatistics:
        return SinkStatistics(
            name=self._sink.name,
            written=self._written,
            lost=self._lost,
            held=self._held,
            failing=self._failing,
            reader=self._subscription.statistics(),
        )
