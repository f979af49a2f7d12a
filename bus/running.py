"""A request in flight, as it is shown."""

from collections.abc import Iterable
from itertools import chain
from operator import attrgetter

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
    worker: str = ""
    """Name of the process that it runs in, where that is another one than this."""


def merged(several: Iterable[Iterable[Running]], limit: int | None = None) -> list[Running]:
    """Return what runs in several processes, or the `limit` oldest of that, oldest first."""
    return sorted(chain.from_iterable(several), key=attrgetter("time"))[:limit]
