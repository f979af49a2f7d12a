"""A reader of the bus that packs what it reads, and hands it over to a bridge."""

import logging
import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import anyio

from reqscope.bus import Batch, Event, EventBus

from .bridge import Bridge, BridgeError
from .carried import Sealer
from .packed import Packed, numbers_of, pack
from .running import tell
from .spool import Spool, Spooled

LINGER: Final = 0.04
"""Seconds between two batches at the least: half of it is what a bridge adds to how old events are when shown."""
MAX_EVENTS: Final = 500
MAX_BYTES: Final = 1 << 20
SPOOL: Final = 16 << 20
_FIRST_RETRY: Final = 0.1
_LAST_RETRY: Final = 1.0
_PATIENCE: Final = 10.0
"""Seconds of failing that are worth a warning: a collector takes some to start, too."""
_ASKABLE_AGAIN: Final = 1.0
"""Seconds until a collector that has gone is looked for again, to answer what it asks."""
_GOODBYE: Final = 0.6
"""Seconds to hand over what is held once the bus is closed. Readers of a bus that is closed have one second."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublisherStatistics:
    """A snapshot. `packed + missed = handed_over + dropped + held`, in events."""

    worker: str
    packed: int
    missed: int
    """Evicted from the ring before they could be packed."""
    handed_over: int
    """What the other side has or was told that it is lost."""
    dropped: int
    """Lost because the other side could not be reached for longer than the spool lasts."""
    held_bytes: int
    failing: str
    """Why nothing can be handed over just now; empty while all is well."""


class Publisher:
    """Packs what a bus carries, off the request path, and hands it over: one batch at a time, in order.

    While that fails, batches wait in a spool that is bounded by bytes; beyond it the oldest are dropped, and a batch
    that says how many events that were goes in their stead. Nobody waits for it.

    :param worker: returns the name of this process, by which its events are told from those of others, once it runs
    :param alone: whether nobody else reads the bus: an event is then evicted once it is packed
    :param sealer: packs events as they were captured, where the bridge is private; without, they are opened before
    """

    def __init__(
        self,
        bus: EventBus,
        bridge: Bridge,
        worker: Callable[[], str],
        spool_bytes: int = SPOOL,
        sealer: Sealer | None = None,
        alone: bool = False,
    ) -> None:
        self._bus = bus
        self._bridge = bridge
        self._sealer = sealer if bridge.private else None
        self._name = worker
        self._alone = alone
        self._worker = self._prefix = ""
        self._spool = Spool(spool_bytes)
        self._thinned: list[Event] = []
        self._number = self._published = 0
        self._next = 0
        self._safe = 0
        """Number of the last event that was handed over."""
        self._packed = self._missed = self._handed_over = 0
        self._failing = ""
        self._failing_since: float | None = None
        self._warned = False
        bus.add_counter(self._note_thinned)

    def statistics(self) -> PublisherStatistics:
        dropped = self._spool.dropped
        return PublisherStatistics(
            self._worker, self._packed, self._missed, self._handed_over, dropped, self._spool.held, self._failing
        )

    async def run(self) -> None:
        """Hand over until the bus is closed, then what is left, for as long as a moment suffices."""
        self._worker = self._name()
        self._prefix = f"{quote(self._worker)}-{self._bus.boot}"
        sealed = self._sealer is not None
        async with anyio.create_task_group() as tasks:
            for task in (self._send, self._beat, self._answer):
                tasks.start_soon(task)
            subscription = self._bus.subscribe(
                after=self._next, limit=MAX_EVENTS, max_bytes=MAX_BYTES, name="bridge", sealed=sealed
            )
            async with subscription:
                async for batch in subscription:
                    self._bus.count_thinned()
                    self._put(batch)
                    whole = batch.next == self._bus.ring.last
                    del batch  # its events are the ring's to evict
                    if whole:
                        await self._gather()
            self._bus.count_thinned()
            if self._thinned:
                self._put(Batch([], 0, self._next))
            with anyio.move_on_after(_GOODBYE):
                while len(self._spool):  # noqa: ASYNC110 - for a moment at the end, and the spool sets no event for it
                    await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(_GOODBYE / 2):
            await self._say_goodbye()

    async def _gather(self) -> None:
        """Wait for more, before it is asked for: who publishes meanwhile has nobody to wake."""
        with anyio.move_on_after(LINGER):
            await self._bus.wait_beyond(self._next + self._bus.ring.capacity // 2 - 1)

    def _note_thinned(self, events: Sequence[Event]) -> None:
        self._thinned += map(numbers_of, events)
        if len(self._thinned) >= MAX_EVENTS:  # to the spool, which is bounded
            self._put(Batch([], 0, self._next))

    def _put(self, batch: Batch) -> None:
        self._number += 1
        thinned, self._thinned = self._thinned, []
        packed = self._header(self._number, self._next, missed=batch.missed, events=batch.events, thinned=thinned)
        covers = batch.missed + len(batch.events)
        self._spool.put(Spooled(self._number, self._next, covers, self._pack(packed), len(thinned)))
        self._next = batch.next
        if self._alone:
            self._bus.ring.forget(batch.next)
        self._packed += len(batch.events)
        self._missed += batch.missed

    def _pack(self, packed: Packed) -> bytes:
        if self._sealer is not None:
            return self._sealer.pack(packed)
        for event in packed.events:
            event.open()  # once more: it may have ended anew since, which seals it
        return pack(packed)

    async def _beat(self) -> None:
        """Have a sign of life sent where nothing else is."""
        while True:
            before = self._published
            await anyio.sleep(self._bridge.heartbeat / 2)
            if self._published == before:
                self._spool.nudge()

    async def _answer(self) -> None:
        """Tell the other side what is in flight, when it asks."""
        while True:
            await self._bridge.answer(lambda: tell(self._worker, self._bus.in_flight))
            await anyio.sleep(_ASKABLE_AGAIN * random.uniform(0.5, 1))

    async def _send(self) -> None:
        retry = _FIRST_RETRY
        await self._say_hello()
        while True:
            try:
                await self._send_one()
                retry, self._failing, self._failing_since = _FIRST_RETRY, "", None
            except BridgeError as error:
                self._note_failure(str(error))
                # Not all at once, where many lost the same one.
                await anyio.sleep(retry * random.uniform(0.5, 1))
                retry = min(retry * 2, _LAST_RETRY)

    def _note_failure(self, reason: str) -> None:
        now = anyio.current_time()
        since = self._failing_since = now if self._failing_since is None else self._failing_since
        if not self._warned and now - since > _PATIENCE:
            self._warned = True
            logger.warning("nothing is handed over to the collector, so what is captured waits: %s", reason)
        self._failing = reason

    async def _send_one(self) -> None:
        first = await self._spool.first()
        self._published += 1
        if first is None:
            self._bus.count_thinned()
            if self._thinned:
                self._put(Batch([], 0, self._next))
            else:
                await self._bridge.publish(self._sign_of_life(self._bridge.heartbeat), "")
            return
        data = first.data
        if data is None:
            data = pack(self._header(first.number, first.after, missed=first.covers, uncounted=first.thinned))
        await self._bridge.publish(data, f"{self._prefix}-{first.number}")
        self._handed_over += first.covers if first.data is not None else 0
        self._safe = first.after + first.covers
        self._spool.pop()

    async def _say_hello(self) -> None:
        try:
            await self._bridge.publish(self._sign_of_life(self._bridge.heartbeat), "")
        except BridgeError:
            return  # the first batch meets the same, and is not given up

    async def _say_goodbye(self) -> None:
        try:
            await self._bridge.publish(self._sign_of_life(0.0), "")
        except BridgeError:
            return
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(_GOODBYE / 2):
                await self._bridge.aclose()

    def _sign_of_life(self, heartbeat: float) -> bytes:
        return pack(self._header(0, self._safe, heartbeat=heartbeat))

    def _header(
        self,
        number: int,
        after: int,
        *,
        missed: int = 0,
        events: Sequence[Event] = (),
        thinned: Sequence[Event] = (),
        heartbeat: float | None = None,
        uncounted: int = 0,
    ) -> Packed:
        return Packed(
            worker=self._worker,
            boot=self._bus.boot,
            number=number,
            after=after,
            missed=missed,
            events=list(events),
            thinned=list(thinned),
            heartbeat=self._bridge.heartbeat if heartbeat is None else heartbeat,
            host=_HOST,
            in_flight=len(self._bus.in_flight),
            uncounted=uncounted,
        )


_HOST: Final = socket.gethostname()
