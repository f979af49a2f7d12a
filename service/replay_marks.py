"""The mark on a request that the monitor sends itself, and how capture tells it from one that a client made up."""

import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Final

import anyio

from reqscope.bus import Event

HEADER: Final = "X-Reqscope-Replay"
"""Whose value is the id of the event that is sent again, and a word that holds for one request."""

_NAME: Final = HEADER.lower().encode()


class Mark:
    """One request on its way from the monitor through the application.

    :ivar original: id of the event that it repeats
    :ivar event: what capture made of it, once that is published
    :ivar ended: set when the application returned, or raised, and the event says so
    """

    def __init__(self, original: str) -> None:
        self.original = original
        self.value = f"{original} {secrets.token_urlsafe(16)}"
        self.event: Event | None = None
        self.ended = anyio.Event()


class Marks:
    """The marks of requests that are on their way.

    :ivar expected: by their value. Capture asks of every request whether there are any, so it looks at this itself.
    """

    def __init__(self) -> None:
        self.expected: dict[bytes, Mark] = {}

    @contextmanager
    def expecting(self, original: str) -> Generator[Mark]:
        """Make a mark that is good for one request that begins inside the block."""
        mark = Mark(original)
        value = mark.value.encode()
        self.expected[value] = mark
        try:
            yield mark
        finally:
            self.expected.pop(value, None)

    def take(self, headers: Iterable[tuple[bytes, bytes]]) -> Mark | None:
        """Return the mark of the request with these headers, if it is one of ours. It is good no more then."""
        for name, value in headers:
            if name == _NAME:
                return self.expected.pop(bytes(value), None)
        return None
