"""What has begun and not ended yet."""

from collections.abc import Sequence
from itertools import islice
from math import inf
from time import perf_counter
from typing import Protocol

import anyio
import msgspec

from .running import Running, merged


class Runner(Protocol):
    """Something in flight."""

    def running(self) -> Running:
        """Return what can be told of it now."""
        ...


class InFlight:
    """Requests that have begun and not ended, oldest first. For one event loop.

    Those of other processes are shown beside, if somebody tells what they are: as long as anybody looks.
    """

    def __init__(self) -> None:
        self._runners: dict[Runner, None] = {}
        self._changed: anyio.Event | None = None
        self._elsewhere: Sequence[Running] = ()
        self._told = 0.0
        self.looked = -inf
        """When somebody asked for `oldest` last, by `perf_counter`."""
        self._look: anyio.Event | None = None

    def __len__(self) -> int:
        return len(self._runners)

    def add(self, runner: Runner) -> None:
        self._runners[runner] = None
        if self._changed is not None:
            self._wake()

    def discard(self, runner: Runner) -> None:
        self._runners.pop(runner, None)
        if self._changed is not None:
            self._wake()

    def here(self, limit: int) -> list[Running]:
        """Return what can be told of the `limit` oldest of this process."""
        return [runner.running() for runner in islice(self._runners, limit)]

    def oldest(self, limit: int) -> list[Running]:
        """Return what can be told of the `limit` oldest, wherever they run."""
        self.looked = perf_counter()
        if self._look is not None:
            self._look.set()
        if not self._elsewhere:
            return self.here(limit)
        later = perf_counter() - self._told
        elsewhere = [msgspec.structs.replace(each, age=each.age + later) for each in self._elsewhere]
        return merged((self.here(limit), elsewhere), limit)

    def tell_elsewhere(self, running: Sequence[Running]) -> None:
        """Say what runs in other processes just now, in place of what was said before."""
        changed = {each.id for each in running} != {each.id for each in self._elsewhere}
        self._elsewhere, self._told = running, perf_counter()
        if changed and self._changed is not None:
            self._wake()

    async def wait_look(self) -> None:
        """Wait until somebody asks for `oldest`, from now on. Safe to cancel."""
        self._look = look = anyio.Event()
        try:
            await look.wait()
        finally:
            self._look = None

    async def wait_change(self) -> None:
        """Wait until something begins or ends. Safe to cancel."""
        if self._changed is None:
            self._changed = anyio.Event()
        changed = self._changed
        try:
            await changed.wait()
        finally:
            # Nobody's event is left behind: the next to wait may do so in another event loop.
            if self._changed is changed and not changed.statistics().tasks_waiting:
                self._changed = None

    def _wake(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()
