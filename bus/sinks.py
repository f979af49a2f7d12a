"""Where events go to be kept: a sink, and the runner that feeds it."""

import logging
import select
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import anyio

from .event import Event
from .eventbus import EventBus
from .subscription import Subscription, SubscriptionStatistics
from .worker import Worker

WhenFull: TypeAlias = Literal["drop", "block"]

# Not structlog: its default prints to standard output, which may be the very sink that fails, and raises.
logger = logging.getLogger(__name__)

_LINGER = 0.05
_WARN_EVERY = 10.0
_STDERR = 2


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
    """Feeds one sink from a bus, in batches, in a thread of its own.

    What the sink is too slow for waits in a bounded hold. When that is full, `drop` loses the newest events
    and keeps memory at the bound; `block` stops reading, so that the ring is the buffer and what it evicts in
    the meantime is missed. Publishing waits for neither.

    :param hold: events to hold at the most
    :param batch: events to write at once at the most
    """

    def __init__(
        self, bus: EventBus, sink: Sink, *, hold: int = 10_000, when_full: WhenFull = "drop", batch: int = 1_000
    ) -> None:
        self._subscription = bus.subscribe(linger=_LINGER, limit=batch, name=f"sink:{sink.name}", sealed=True)
        self._sink = sink
        self._worker = Worker(f"reqscope {sink.name}")
        self._batch = batch
        self._capacity = max(hold, batch)
        self._when_full = when_full
        self._hold: list[Event] = []
        self._writing = 0
        self._written = 0
        self._lost = 0
        self._failing = False
        self._warned_at = float("-inf")
        self._changed = anyio.Event()
        self._ended = False

    async def run(self) -> None:
        """Feed the sink until the bus is closed and everything is written, then close it.

        If cancelled, what is held is counted as lost, and a write that hangs is abandoned.
        """
        self._worker.start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write_all)
                async with self._subscription as subscription:
                    await self._read_all(subscription)
                self._ended = True
                self._notify()
        finally:
            if unwritten := self._held:
                self._say(f"could not write {unwritten} events before the end")
                self._lost += unwritten
                self._writing = 0
                self._hold.clear()
            closing = self._worker.post(self._close)
            self._worker.stop()
        await closing.outcome()

    @property
    def _held(self) -> int:
        return self._writing + len(self._hold)

    async def _read_all(self, subscription: Subscription) -> None:
        while True:
            while self._when_full == "block" and self._held + self._batch > self._capacity:
                await self._changed.wait()
            try:
                batch = await subscription.receive()
            except anyio.EndOfStream:
                return
            taken = batch.events[: self._capacity - self._held]
            self._hold += taken
            self._notify()
            if dropped := len(batch.events) - len(taken):
                self._lost += dropped
                self._warn("does not keep up, so events are dropped")

    async def _write_all(self) -> None:
        while self._hold or not self._ended:
            if not self._hold:
                await self._changed.wait()
                continue
            await self._write_batch()
            # Many small writes cost more than one: what comes soon after one shares the next.
            with anyio.move_on_after(_LINGER):
                while len(self._hold) < self._batch and not self._ended:
                    await self._changed.wait()

    async def _write_batch(self) -> None:
        batch = self._hold[: self._batch]
        del self._hold[: self._batch]
        self._writing = len(batch)
        written, problem = 0, None
        try:
            written = await self._worker.call(self._write, batch)
        except Exception as error:  # a sink may be the user's; whatever it raises stays here
            problem = f"cannot write: {type(error).__name__}: {error}"
        self._failing = problem is not None
        self._written += written
        self._lost += len(batch) - written
        self._writing = 0
        self._notify()
        if problem is not None:
            self._warn(problem)

    def _write(self, batch: list[Event]) -> int:
        for event in batch:  # in the sink's thread, not in the application's
            event.open()
        return self._sink.write(batch)

    def _close(self) -> None:
        try:
            self._sink.close()
        except Exception as error:
            self._say(f"cannot be closed: {type(error).__name__}: {error}")

    def _notify(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def _warn(self, problem: str) -> None:
        now = anyio.current_time()
        if now - self._warned_at >= _WARN_EVERY:
            self._warned_at = now
            self._say(problem)

    def _say(self, problem: str) -> None:
        # Whoever reads our standard error may be as stuck as the sink is: often they are the same. Then the numbers
        # must speak for themselves, because a log call that hangs would hold up the event loop, or Python's exit.
        if _takes_text(_STDERR):
            logger.warning("log sink %s %s", self._sink.name, problem)

    def statistics(self) -> SinkStatistics:
        return SinkStatistics(
            name=self._sink.name,
            written=self._written,
            lost=self._lost,
            held=self._held,
            failing=self._failing,
            reader=self._subscription.statistics(),
        )


def _takes_text(descriptor: int) -> bool:
    """Whether a write of a line would not have to wait, as far as that can be known."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))
