"""What is packed and not handed over yet, bounded by bytes."""

from collections import deque
from dataclasses import dataclass

import anyio


@dataclass(slots=True)
class Spooled:
    """A packed batch, or in its place what is known of those that were dropped."""

    number: int
    after: int
    """Number of the last event before it."""
    covers: int
    """Events in it, or missed by it."""
    data: bytes | None
    """None where it was dropped: then a batch that says so goes in its stead."""
    thinned: int = 0
    """Events in it that are to be counted only."""


class Spool:
    """A queue of packed batches for one reader. When it is full the oldest are dropped and merged into one hole.

    The hole stays in its place in the queue, so that whoever reads it learns how many events were lost there. What is
    being handed over is not dropped.

    :param max_bytes: bytes to hold; the newest batch is held in any case
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held = 0
        """Bytes held."""
        self.dropped = 0
        """Events in batches that were dropped."""
        self._queue: deque[Spooled] = deque()
        self._sending = False
        self._news = anyio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, batch: Spooled) -> None:
        """Append a batch, and drop what there is no room for."""
        self._queue.append(batch)
        self.held += len(batch.data or b"")
        while self.held > self.max_bytes and self._drop_oldest():
            pass
        self._news.set()

    def nudge(self) -> None:
        """Have whoever waits for the first one go on without it."""
        self._news.set()

    async def first(self) -> Spooled | None:
        """Wait for the oldest one, and return it; None after a nudge. It stays in the queue until `pop`."""
        if not self._queue:
            self._news = anyio.Event()
            await self._news.wait()
        if not self._queue:
            return None
        self._sending = True
        return self._queue[0]

    def pop(self) -> None:
        """Take out what `first` returned: it has been handed over."""
        self._sending = False
        self.held -= len(self._queue.popleft().data or b"")

    def _drop_oldest(self) -> bool:
        """Turn the oldest batch into a hole, or add it to the hole before it. False if only the newest is left."""
        start = 1 if self._sending else 0
        if len(self._queue) - start < 2:
            return False
        oldest = self._queue[start]
        if oldest.data is not None:
            self._forget(oldest)
            return True
        following = self._queue[start + 1]
        if following is self._queue[-1]:
            return False
        self._forget(following)
        hole = Spooled(following.number, oldest.after, oldest.covers + following.covers, None)
        hole.thinned = oldest.thinned + following.thinned
        self._queue[start] = hole
        del self._queue[start + 1]
        return True

    def _forget(self, batch: Spooled) -> None:
        self.held -= len(batch.data or b"")
        self.dropped += batch.covers
        batch.data = None
