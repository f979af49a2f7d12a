"""Reads a bridge, and publishes on the bus of this process what others captured."""

import logging
from typing import Any, Final

import anyio
import msgspec

from reqscope.bus import Event, EventBus
from reqscope.service.faults import Faults

from .bridge import Bridge, BridgeError
from .carried import Unsealer, was_raised
from .ordering import Ordering
from .packed import Packed, unpack
from .running import RunningElsewhere
from .workers import Workers

_STEP: Final = 0.005
"""Seconds from news until it is looked at what is due: one look is for all that came meanwhile."""
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
        self._ordering = Ordering()
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
                self._show(self._ordering.rest())

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
        for event in packed.events:
            event.worker = packed.worker
            if event.size < 0:  # it would take away from what the ring holds
                event.size = 0
        if packed.events:
            self.workers.tell(packed, self._ordering.add(packed.events, anyio.current_time()))
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
            self._news = anyio.Event()
            with anyio.CancelScope(deadline=self._ordering.patience):
                await self._news.wait()
            await anyio.sleep(_STEP)
            self._show(self._ordering.due(self.workers.told, anyio.current_time()))

    def _show(self, events: list[Event]) -> None:
        if events:
            self._bus.publish_all(events)
            for event in [event for event in events if event.error is not None or event.failure is not None]:
                if was_raised(event):
                    self._bus.failures.note(event)
