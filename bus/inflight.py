"""What has begun and not ended yet."""

from itertools import islice
from typing import Protocol

import anyio
import msgspec


class Running(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A request in flight, secrets masked."""

    id: str
    """Names it while it runs; the event that it becomes has another."""
    time: int
    """Wall clock when it began, in nanoseconds since the epoch."""
    age: float
    """Seconds since then, by a monotonic clock."""
    kind: str
    method: str
    path: str
    query: str = ""
    client: str = ""
    status: int = 0
    """0 until the response has begun."""
    request_size: int = 0
    response_size: int = 0
    request_id: str = ""


class Runner(Protocol):
    """Something in flight."""

    def running(self) -> Running:
        """Return what can be told of it now."""
        ...


class InFlight:
    """Requests that have begun and not ended, oldest first. For one event loop."""

    def __init__(self) -> None:
        self._runners: dict[Runner, None] = {}
        self._changed: anyio.Event | None = None

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

    def oldest(self, limit: int) -> list[Running]:
        """Return what can be told of the `limit` oldest."""
        return [runner.running() for runner in islice(self._runners, limit)]

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
