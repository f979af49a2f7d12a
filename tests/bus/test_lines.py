import io
from collections.abc import Iterator
from typing import Any

import pytest

from reqscope.bus.lines import LineStream, PartlyWritten


class Flaky(io.RawIOBase):
    """Takes what it is told to at each write, or raises."""

    def __init__(self, *takes: int | None) -> None:
        self.taken = bytearray()
        self._takes: Iterator[int | None] = iter(takes)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        count = next(self._takes, len(data))
        if count is None:
            raise OSError(28, "No space left on device")
        self.taken += bytes(data[:count])
        return min(count, len(data))


def stream(flaky: Flaky) -> LineStream:
    destination: Any = flaky
    return LineStream(destination)


@pytest.mark.guarantees("F12")
@pytest.mark.parametrize(
    ("takes", "written", "after"),
    [
        ((None,), 0, b"one\ntwo\n"),
        ((2, None), 0, b"on\none\ntwo\n"),
        ((4, None), 1, b"one\none\ntwo\n"),
        ((6, None), 1, b"one\ntw\none\ntwo\n"),
        ((2, None, None), 0, b"on\none\ntwo\n"),
        ((2, None, 1, None), 0, b"on\none\ntwo\n"),
    ],
)
def test_lines_that_were_written_whole_count_and_the_next_begins_on_a_line_of_its_own(
    takes: tuple[int | None, ...], written: int, after: bytes
) -> None:
    flaky = Flaky(*takes)
    lines = stream(flaky)

    for _ in range(takes.count(None)):
        with pytest.raises(PartlyWritten) as caught:
            lines.write(b"one\ntwo\n")
        assert caught.value.written == written
        assert isinstance(caught.value.__cause__, OSError)
    lines.write(b"one\ntwo\n")

    assert bytes(flaky.taken) == after


@pytest.mark.guarantees("F12")
def test_what_takes_a_few_bytes_at_a_time_gets_everything() -> None:
    flaky = Flaky(1, 2, 3, 1)

    stream(flaky).write(b"one\ntwo\nthree\n")

    assert bytes(flaky.taken) == b"one\ntwo\nthree\n"
