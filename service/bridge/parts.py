"""Batches that are larger than what a broker takes as one message."""

from collections.abc import Iterator
from typing import Final

PART: Final = "Reqscope-Part"
"""The header that says of which batch a message is a part, which one, and of how many."""
_WAITING: Final = 100


def split(data: bytes, name: str, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield parts of at most `size` bytes, each with what `Parts.add` needs to know of it."""
    count = -(-len(data) // size)
    for number in range(count):
        yield f"{name} {number + 1} {count}", data[number * size : (number + 1) * size]


class Parts:
    """Puts parts together again. Those of several batches may come by turns, and some twice or never."""

    def __init__(self) -> None:
        self._begun: dict[str, list[bytes]] = {}

    def add(self, part: str, data: bytes) -> bytes | None:
        """Return the batch that is whole now, if one is."""
        name, number, count = part.rsplit(" ", 2)
        if number == "1":
            self._begun[name] = []
            while len(self._begun) > _WAITING:  # their publishers have died
                del self._begun[next(iter(self._begun))]
        parts = self._begun.get(name)
        if parts is None or len(parts) != int(number) - 1:  # its beginning is not retained, or it came twice
            return None
        parts.append(data)
        if len(parts) < int(count):
            return None
        return b"".join(self._begun.pop(name))
