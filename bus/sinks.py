"""Where events go to be kept: a sink, and the runner that feeds it."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

import anyio

from .awaited import Awaited, Waiting
from .event import Event
from .eventbus import EventBus
from .lines import PartlyWritten
from .subscription import Subscription, SubscriptionStatistics
from .throttle import Warnings
from .worker import Worker

WhenFull: TypeAlias = Literal["drop", "block"]

_LINGER = 0.05
_ALL: Final = 1 << 63


class Sink(Protocol):
    """A destination. Its methods are called from one worker thread at a time, never from the event loop."""

    @property
    def name(self) -> str: ...

    def write(self, events: list[Event]) -> int:
        """Write a batch, in order, and return how many of them were written.

        :raises PartlyWritten: so many were, and what kept the others from it is the cause
        :raises Exception: none was, or it is not known how many
        """
        ...

    def close(self) -> None: ...


@runtime_checkable
class Reopens(Protocol):
    """A sink that can begin anew with whatever is at its destination now."""

    def reopen(self) -> None: ...


@runtime_checkable
class Keeps(Protocol):
    """A sink that can say when what it wrote survives a loss of power."""

    @property
    def keeps(self) -> bool:
        """Whether it can do so at its present destination."""
        ...

    def sync(self) -> None:
        """Return when all that was written is kept.

        :raises OSError: it may not be
        """
        ...


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
        self._writing: list[Event] = []
        self._waiting = Waiting()
        self._written = 0
        self._lost = 0
        self._failing = False
        self._warnings = Warnings(f"log sink {sink.name}")
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
                self._warnings.say(f"could not write {unwritten} events before the end")
                self._lost += unwritten
                self._writing = []
                self._hold.clear()
            for awaited in self._waiting:
                awaited.give_up(_ALL, set())
            closing = self._worker.post(self._close)
            self._worker.stop()
        await closing.outcome()

    def reopen(self) -> None:
        """Have the sink open its destination again once it has written what it is writing. Returns at once."""
        self._worker.post(self._reopen)

    @property
    def keeps(self) -> bool:
        """Whether one can wait here until an event is kept."""
        return isinstance(self._sink, Keeps) and self._sink.keeps

    def awaiting(self) -> AbstractContextManager[Awaited]:
        """Return a context in which to wait for events until they are kept: written, and safe from a loss of power.

        Of a batch of which something could not be written, none counts as kept.
        """
        return self._waiting.one()

    @property
    def _held(self) -> int:
        return len(self._writing) + len(self._hold)

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
                self._warnings.warn("does not keep up, so events are dropped")
            if self._waiting and (dropped or batch.missed):
                held = {event.seq for event in (*self._writing, *self._hold)}
                for awaited in self._waiting:
                    awaited.give_up(batch.next, held)

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
        self._writing = batch
        written, problem = 0, None
        try:
            written = await self._worker.call(self._write, batch)
        except PartlyWritten as partly:
            written, problem = partly.written, f"cannot write: {_in_words(partly.__cause__ or partly)}"
        except Exception as error:  # a sink may be the user's; whatever it raises stays here
            problem = f"cannot write: {_in_words(error)}"
        self._failing = problem is not None
        self._written += written
        self._lost += len(batch) - written
        self._writing = []
        self._notify()
        if self._waiting:
            kept = problem is None and await self._worker.call(self._sync)
            seqs = {event.seq for event in batch}
            for awaited in self._waiting:
                awaited.settle(seqs, kept=kept)
        if problem is not None:
            self._warnings.warn(problem)

    def _write(self, batch: list[Event]) -> int:
        for event in batch:  # in the sink's thread, not in the application's
            event.open()
        return self._sink.write(batch)

    def _sync(self) -> bool:
        try:
            if not isinstance(self._sink, Keeps):
                return False
            self._sink.sync()
        except Exception as error:
            self._warnings.warn(f"cannot be synced: {_in_words(error)}")
            return False
        return True

    def _close(self) -> None:
        try:
            self._sink.close()
        except Exception as error:
            self._warnings.say(f"cannot be closed: {_in_words(error)}")

    def _reopen(self) -> None:
        try:
            if isinstance(self._sink, Reopens):
                self._sink.reopen()
        except Exception as error:
            self._warnings.say(f"cannot be opened again: {_in_words(error)}")

    def _notify(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def statistics(self) -> SinkStatistics:
        return SinkStatistics(
            name=self._sink.name,
            written=self._written,
            lost=self._lost,
            held=self._held,
            failing=self._failing,
            reader=self._subscription.statistics(),
        )


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
