"""What is known of the workers that report here."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

from .packed import Packed

_PATIENCE: Final = 3.0
"""Signs of life that a worker may leave out before it is taken for dead."""
_GONE: Final = 300.0
"""Seconds after which nobody need be told any more that a worker is dead: a stream may tell of some of last week."""
MAX_KEPT: Final = 500
"""Workers remembered. Those that have left are forgotten first."""


@dataclass(slots=True)
class Worker:
    """One life of one worker."""

    name: str
    boot: str
    host: str
    number: int = 0
    """Of the last batch that was taken."""
    next: int = 0
    """Number, in its own ring, of its last event that was taken or is known to be lost."""
    known: bool = False
    """Whether it was heard already."""
    events: int = 0
    lost: int = 0
    """Events that are in no batch and never will be."""
    uncounted: int = 0
    """Events that were thinned out by sampling, and are in no statistics because their batch was dropped."""
    in_flight: int = 0
    heard: float = -inf
    heartbeat: float = 0.0
    """Seconds within which it is to be heard again; 0 once it said goodbye."""
    replaced: bool = False
    born: float = 0.0
    """When it was heard first."""
    replaces: bool = False
    """Whether it is known in whose place it is."""
    told: int = 0
    """When the last event ended that it told of, in nanoseconds by its clock."""

    def status(self, now: float) -> str:
        """Return `reporting`; `ended` after a goodbye; `dead` without one, and `gone` when that is long ago; `replaced`
        once another took its place.
        """
        if not self.heartbeat:
            return "ended"
        if self.replaced:
            return "replaced"
        silence = now - self.heard
        return "reporting" if silence <= self.heartbeat * _PATIENCE else "dead" if silence < _GONE else "gone"


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """What is shown of one life of one worker."""

    worker: str
    boot: str
    host: str
    status: str
    events: int
    lost: int
    uncounted: int
    in_flight: int
    heard: float
    """Seconds since it was last heard."""


class Workers:
    """Follows batches by worker and boot: which are new, and what is missing between them.

    :param expected: how many workers there are to be, or 0 where nobody knows: then all that were heard and have not
        said goodbye, or been replaced by a later one on their host
    :param clock: a monotonic clock in seconds
    """

    def __init__(self, clock: Callable[[], float], expected: int = 0) -> None:
        self._clock = clock
        self._expected = expected
        self._lives: dict[tuple[str, str], Worker] = {}
        self.duplicates = 0
        """Batches that had been taken already."""

    def hear(self, packed: Packed, age: float = 0.0) -> bool:
        """Take note of a batch, of `age` seconds ago, and return whether what is in it is new."""
        key, heard = (packed.worker, packed.boot), self._clock() - age
        worker = self._lives.get(key)
        if worker is None:
            worker = Worker(packed.worker, packed.boot, packed.host, born=heard)
            self._lives[key] = worker
            self._replace(worker)
            self._forget()
        worker.heard = max(worker.heard, heard)
        worker.heartbeat, worker.in_flight = packed.heartbeat, packed.in_flight
        if 0 < packed.number <= worker.number:
            self.duplicates += 1
            return False
        # What came before the first batch was never for this panel: an earlier one had it, or it is not retained.
        hole = packed.after - worker.next if worker.known else 0
        worker.lost += max(0, hole) + packed.missed
        worker.next, worker.known = max(worker.next, packed.next), True
        if not packed.number:
            return False
        worker.number = packed.number
        worker.uncounted += packed.uncounted
        worker.events += len(packed.events) + len(packed.thinned)
        return True

    def tell(self, packed: Packed, ended: int) -> None:
        """Take note of when the last event of a batch ended, which was heard."""
        worker = self._lives[packed.worker, packed.boot]
        worker.told = max(worker.told, ended)

    @property
    def told(self) -> int:
        """Until when all that report have told of what ended, in nanoseconds; 0 while one has told of nothing."""
        now = self._clock()
        return min((each.told for each in self._lives.values() if each.status(now) == "reporting"), default=0)

    @property
    def reporting(self) -> int:
        now = self._clock()
        return sum(worker.status(now) == "reporting" for worker in self._lives.values())

    @property
    def expected(self) -> int:
        now = self._clock()
        self._replace_dead(now)
        return self._expected or sum(worker.status(now) in ("reporting", "dead") for worker in self._lives.values())

    @property
    def in_flight(self) -> int:
        now = self._clock()
        return sum(worker.in_flight for worker in self._lives.values() if worker.status(now) == "reporting")

    def rows(self) -> list[WorkerRow]:
        """Return all that are remembered, by name, the latest life of each first."""
        now = self._clock()
        self._replace_dead(now)
        rows = [
            WorkerRow(
                each.name, each.boot, each.host, each.status(now), each.events, each.lost, each.uncounted,
                each.in_flight if each.status(now) == "reporting" else 0, round(now - each.heard, 3),
            )
            for each in reversed(self._lives.values())
        ]  # fmt: skip
        return sorted(rows, key=lambda row: row.worker)

    def _replace(self, newcomer: Worker) -> None:
        """Whoever bears its name is over."""
        for each in self._lives.values():
            if each is not newcomer and each.name == newcomer.name:
                each.replaced = newcomer.replaces = True

    def _replace_dead(self, now: float) -> None:
        """Of others, one that is dead is over once its host has a worker that came after it was last heard.

        It may come long before the death is noticed: a server that forks its workers takes no time.
        """
        dead = [each for each in self._lives.values() if not each.replaced and each.status(now) == "dead"]
        for each in dead:
            for other in self._lives.values():
                if not other.replaces and other.host == each.host and other.born > each.heard:
                    each.replaced = other.replaces = True
                    break

    def _forget(self) -> None:
        if len(self._lives) > MAX_KEPT:
            now = self._clock()
            gone = (key for key, worker in self._lives.items() if worker.status(now) != "reporting")
            self._lives.pop(next(gone, next(iter(self._lives))))
