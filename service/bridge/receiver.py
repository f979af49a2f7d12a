"""Reads a bridge, and publishes on the bus of this process what others captured."""

import logging
from bisect import bisect_right
from typing import Any, Final

import anyio
import msgspec

from reqscope.bus import Event, EventBus
from reqscope.service.faults import Faults

from .bridge import Bridge, BridgeError
from .carried import Unsealer, was_raised
from .packed import Packed, unpack
from .running import RunningElsewhere
from .workers import Workers

WINDOW: Final = 0.04
"""Seconds that events are held at most, so that those of several workers can be put in order: as long as one packs."""
_STEP: Final = 0.005
"""Seconds between two looks at what is held."""
_RETRY: Final = 0.5
_SHOWN_LOSSES: Final = 3

logger = logging.getLogger(__name__)


class Receiver:
    """Takes in packed batches of any number of workers: each event once, in the order in which requests ended.

    What is missing is counted by worker and boot. Numbers merge exactly, because every event, thinned ones too, is
    counted here as if it had been captured here.

    :param expected: how many workers there are to be, or 0 where nobody knows
    :param faults: where failures to open what comes sealed are counted
    """

    def __init__(self, bus: EventBus, bridge: Bridge, expected: int = 0, faults: Any = None) -> None:
        self._bus = bus
        self._bridge = bridge
        # Over a bridge that others can write to, nothing sealed is taken: it would be read without suspicion.
        self._unpack = Unsealer(faults or Faults()).unpack if bridge.private else unpack
        self.running = RunningElsewhere(bus.in_flight, bridge)
        self.workers = Workers(anyio.current_time, expected)
        self._waiting: list[tuple[int, float, Event]] = []
        """When it ended by the wall clock, when it arrived by the event loop's, and the event."""
        self._news = anyio.Event()
        self._unreadable = 0
        self._failing = ""

    async def run(self) -> None:
        """Read until cancelled, over whatever befalls the bridge. What was taken is then on the bus."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._publish)
            tasks.start_soon(self.running.run)
            try:
                await self._read()
            finally:
                self._bus.publish_all([event for _, _, event in self._sorted()])
                self._waiting.clear()

    def take(self, data: bytes, age: float) -> None:
        """Take in one packed batch of so many seconds ago. Never raises: one that cannot be read is counted."""
        self._failing = ""
        try:
            packed = self._unpack(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if not self._unreadable:
                logger.warning("a batch cannot be read; do all workers run the same version of reqscope? %s", error)
            self._unreadable += 1
            return
        if self.workers.hear(packed, age):
            self._take(packed)

    def summary(self) -> dict[str, Any]:
        """Return what the panel's strip says of the workers."""
        rows = self.workers.rows()
        lossy = [row for row in rows if row.lost]
        return {
            "reporting": self.workers.reporting,
            "expected": self.workers.expected,
            "in_flight": self.workers.in_flight,
            "answered": self.running.answered,
            "lost": sum(row.lost for row in lossy),
            "losses": [(row.worker, row.boot, row.lost) for row in lossy[:_SHOWN_LOSSES]],
            "missing": [row.worker for row in rows if row.status == "dead"][:_SHOWN_LOSSES],
            "unreadable": self._unreadable,
            "failing": self._failing,
        }

    def _take(self, packed: Packed) -> None:
        now = anyio.current_time()
        for event in packed.events:
            event.worker = packed.worker
            event.seq = 0
            event.size = max(0, event.size)
            if was_raised(event):
                self._bus.failures.note(event)
            self._waiting.append((_ended(event), now, event))
        if packed.events:
            self.workers.tell(packed, self._waiting[-1][0])
        for event in packed.thinned:
            self._bus.thin(event)
        if packed.thinned and not packed.events:
            self._bus.count_thinned()
        self._news.set()

    async def _read(self) -> None:
        while True:
            try:
                await self._bridge.read(self.take)
            except BridgeError as error:
                if not self._failing:
                    logger.warning("batches of the workers cannot be read: %s", error)
                self._failing = str(error)
            await anyio.sleep(_RETRY)

    async def _publish(self) -> None:
        while True:
            if not self._waiting:
                self._news = anyio.Event()
                await self._news.wait()
            await anyio.sleep(_STEP)
            ordered, cutoff, told = self._sorted(), anyio.current_time() - WINDOW, self.workers.told
            # Before what every worker has told of nothing can come any more. For the others, all that has waited long
            # enough, and what ended before that: a worker that is idle, or whose clock is late, holds nothing up.
            due = bisect_right(ordered, told, key=_when_ended)
            for index in range(len(ordered), due, -1):
                if ordered[index - 1][1] <= cutoff:
                    due = index
                    break
            self._waiting = ordered[due:]
            if due:
                self._bus.publish_all([event for _, _, event in ordered[:due]])

    def _sorted(self) -> list[tuple[int, float, Event]]:
        return sorted(self._waiting, key=_when_ended)


def _when_ended(waiting: tuple[int, float, Event]) -> int:
    return waiting[0]


def _ended(event: Event) -> int:
    # Within one process events are in the order in which they ended, because that is when they are published.
    return event.time + int((event.total or 0.0) * 1e9)
