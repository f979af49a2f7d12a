"""Events that somebody waits for, until it is known whether a sink has kept them."""

from collections.abc import Generator, Iterable, Iterator, Set
from contextlib import contextmanager

import anyio

from .event import Event


class Awaited:
    """Events of which somebody wants to hear that they are kept."""

    def __init__(self) -> None:
        self._left = set[int]()
        self._lost = 0
        self._settled = anyio.Event()

    def add(self, events: Iterable[Event]) -> None:
        """Wait for `events` too. They were published just now: since then no other task has had a turn."""
        for event in events:
            if event.seq:
                self._left.add(event.seq)
            else:  # it was refused
                self._lost += 1

    async def lost(self) -> int:
        """Wait until it is known what became of each, and return how many are not known to be kept."""
        while self._left:
            self._settled = anyio.Event()
            await self._settled.wait()
        return self._lost

    def settle(self, seqs: Set[int], *, kept: bool) -> None:
        """Say what became of the events with these numbers."""
        settled = self._left & seqs
        self._left -= settled
        if not kept:
            self._lost += len(settled)
        if settled and not self._left:
            self._settled.set()

    def give_up(self, last: int, held: Set[int]) -> None:
        """Say that of all events up to number `last` only the `held` ones may still be written."""
        self.settle({seq for seq in self._left if seq <= last and seq not in held}, kept=False)


class Waiting:
    """Those who wait for what one sink gets."""

    def __init__(self) -> None:
        self._awaited: list[Awaited] = []

    def __iter__(self) -> Iterator[Awaited]:
        return iter(self._awaited)

    def __bool__(self) -> bool:
        return bool(self._awaited)

    @contextmanager
    def one(self) -> Generator[Awaited]:
        """Inside the block, somebody waits."""
        awaited = Awaited()
        self._awaited.append(awaited)
        try:
            yield awaited
        finally:
            self._awaited.remove(awaited)
