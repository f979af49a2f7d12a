"""What the mock was asked, so that it can be asked about that."""

from collections import deque
from itertools import count
from typing import Any, Final

import msgspec

from reqscope.bus.event import Headers

from .matching import Miss
from .request import MockRequest

MOST_REQUESTS: Final = 5_000
_MOST_BYTES: Final = 32 << 20
_MOST_UNMATCHED: Final = 100


class Unmatched(msgspec.Struct):
    """A request that no stub answered, secrets masked."""

    id: int
    """Its number among them, from 1."""
    time: int
    """In milliseconds since the epoch."""
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: str
    misses: list[Miss]


class Journal:
    """The latest requests as they came, bounded by number and bytes. What it holds is not masked, and never leaves it
    but by way of conditions."""

    def __init__(self) -> None:
        self._requests = deque[MockRequest]()
        self._bytes = 0
        self.dropped = 0
        """Requests that were forgotten for lack of room."""
        self.numbers = count(1)
        self.unmatched = deque[Unmatched](maxlen=_MOST_UNMATCHED)

    def add(self, request: MockRequest) -> None:
        self._requests.append(request)
        self._bytes += request.size
        while len(self._requests) > MOST_REQUESTS or self._bytes > _MOST_BYTES:
            self._bytes -= self._requests.popleft().size
            self.dropped += 1

    def requests(self) -> list[MockRequest]:
        """Return them, oldest first."""
        return list(self._requests)

    def clear(self) -> None:
        self._requests.clear()
        self.unmatched.clear()
        self._bytes = self.dropped = 0


def as_text(headers: Headers) -> list[tuple[str, Any]]:
    """Return headers as text."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
