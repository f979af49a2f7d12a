"""Exceptions that left the application, grouped by where they came from."""

from dataclasses import dataclass
from typing import Final

import anyio
import msgspec

from .event import Event

MAX_GROUPS: Final = 500
_MAX_WAITING: Final = 1_000
_AT_ONCE: Final = 20
"""Failures grouped before the event loop gets a turn: each may read source files."""


class FailureGroup(msgspec.Struct, kw_only=True, gc=False):
    """Exceptions of one type, from one line, on one route."""

    fingerprint: str
    type: str
    route: str | None
    message: str
    """Of the latest."""
    traceback: str
    count: int
    first: int
    """Wall clock when the request of the first one began, in nanoseconds since the epoch."""
    last: int
    event: int
    """Number of the latest one's event, which the ring may no longer have."""


@dataclass(frozen=True, slots=True)
class FailureStatistics:
    """A snapshot. `noted = grouped + waiting + lost`, always."""

    noted: int
    grouped: int
    waiting: int
    lost: int
    """Not grouped, because too many came at once. They are events like any other all the same."""
    groups: int
    forgotten: int
    """Groups given up for newer ones."""


class Failures:
    """Groups failures by fingerprint, the last 500 of them. For one event loop."""

    def __init__(self) -> None:
        self._waiting: list[Event] = []
        self._groups: dict[str, FailureGroup] = {}
        self._news: anyio.Event | None = None
        self._noted = 0
        self._grouped = 0
        self._lost = 0
        self._forgotten = 0

    def note(self, event: Event) -> None:
        """Have the failure of `event` grouped. It costs the caller nothing more than a place in a list."""
        self._noted += 1
        if len(self._waiting) >= _MAX_WAITING:
            self._lost += 1
            return
        self._waiting.append(event)
        if self._news is not None:
            self._news.set()

    async def run(self) -> None:
        """Group what is noted, until cancelled."""
        while True:
            self._news = anyio.Event()
            if not self._waiting:
                await self._news.wait()
            self._group(_AT_ONCE)
            await anyio.lowlevel.checkpoint()

    def latest(self) -> list[FailureGroup]:
        """Return the groups, that with the latest failure first."""
        self._group(len(self._waiting))
        return sorted(self._groups.values(), key=lambda group: group.last, reverse=True)

    def statistics(self) -> FailureStatistics:
        return FailureStatistics(
            self._noted, self._grouped, len(self._waiting), self._lost, len(self._groups), self._forgotten
        )

    def _group(self, limit: int) -> None:
        batch = self._waiting[:limit]
        del self._waiting[:limit]
        for event in batch:
            self._grouped += 1
            if (failure := event.open().failure) is None:
                continue
            group = self._groups.pop(failure.fingerprint, None)
            self._groups[failure.fingerprint] = FailureGroup(
                fingerprint=failure.fingerprint,
                type=failure.type,
                route=event.route,
                message=failure.message,
                traceback=failure.traceback,
                count=group.count + 1 if group else 1,
                first=group.first if group else event.time,
                last=event.time,
                event=event.seq,
            )
            if len(self._groups) > MAX_GROUPS:
                self._groups.pop(next(iter(self._groups)))
                self._forgotten += 1
