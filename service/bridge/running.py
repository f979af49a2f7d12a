"""What is in flight in the workers: asked for while somebody looks, and only then."""

from time import perf_counter
from typing import Final

import anyio
import msgspec

from reqscope.bus import InFlight, Running
from reqscope.bus.running import merged

from .bridge import Bridge
from .packed import without_surrogates

MOST: Final = 200
"""Requests that one worker tells of, the oldest."""
_EVERY: Final = 1.0
"""Seconds between two questions."""
_LOOKED_AT: Final = 6.0
"""Seconds after which a page that is open would have looked again."""


class _Told(msgspec.Struct, array_like=True):
    worker: str
    running: list[Running]


_decoder: Final = msgspec.msgpack.Decoder(_Told)


def tell(worker: str, in_flight: InFlight) -> bytes:
    """Return what `RunningElsewhere` is to hear from a worker of that name."""
    told = _Told(worker, in_flight.here(MOST))
    try:
        return msgspec.msgpack.encode(told)
    except UnicodeEncodeError:
        return msgspec.msgpack.encode(_Told(worker, [without_surrogates(each) for each in told.running]))


class RunningElsewhere:
    """Asks workers what they have in flight.

    :param in_flight: what is told of it while somebody looks there
    """

    def __init__(self, in_flight: InFlight, bridge: Bridge) -> None:
        self._in_flight = in_flight
        self._bridge = bridge
        self.answered: int | None = None
        """How many workers answered the last question; None where they cannot be asked, or were not yet."""

    async def ask(self) -> list[Running]:
        """Return what all workers tell of that answer within a second, each with its worker's name, oldest first."""
        answers = await self._bridge.ask()
        self.answered = None if answers is None else len(answers)
        return merged(map(_told, answers or ()))

    async def run(self) -> None:
        """Ask once a second as long as somebody looks, until cancelled."""
        while True:
            await self._in_flight.wait_look()
            while perf_counter() - self._in_flight.looked < _LOOKED_AT:
                self._in_flight.tell_elsewhere(await self.ask())
                await anyio.sleep(_EVERY)
            self._in_flight.tell_elsewhere(())


def _told(answer: bytes) -> list[Running]:
    try:
        told = _decoder.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):  # of another version, of which is warned where batches come in
        return []
    for running in told.running:
        running.worker, running.id = told.worker, f"{told.worker}-{running.id}"
    return told.running
