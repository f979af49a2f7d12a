"""Lines on their way out: where they go, and what became of them."""

import os
import select
from typing import Any, BinaryIO, Final, Protocol, Self

_STDOUT: Final = 1


class PartlyWritten(Exception):
    """A batch was written up to a point. The cause says what went wrong there.

    :param written: how many of the batch were written whole, or left out on purpose
    """

    def __init__(self, written: int) -> None:
        super().__init__(written)
        self.written = written


class Lines(Protocol):
    """A destination of lines. Its methods are called from one thread at a time."""

    def write(self, lines: bytes) -> None:
        """Write whole lines.

        :raises PartlyWritten: the first so many lines were written
        """
        ...

    def close(self) -> None: ...


class LineStream:
    """Writes to a pipe, a terminal, or whatever else is open for writing.

    :param stream: closed with this
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        # Below a buffer, if there is one: a thread that hangs in a write would hold its lock, which Python takes
        # when it exits.
        self._raw: Any = getattr(stream, "raw", stream)
        self._torn = False

    @classmethod
    def stdout(cls) -> Self:
        """Return the process's standard output, whatever `sys.stdout` is at the moment.

        :raises OSError: the process has none
        """
        return cls(os.fdopen(os.dup(_STDOUT), "wb", buffering=0))

    def write(self, lines: bytes) -> None:
        """See `Lines.write`."""
        # What a failed write left behind is no line: the next one begins on a line of its own.
        data = b"\n" + lines if self._torn else lines
        end_of_torn, done = len(data) - len(lines), 0
        try:
            while done < len(data):
                done += self._write_some(memoryview(data)[done:])
        except OSError as error:
            self._torn = (self._torn and done == 0) or data[done - 1 : done] not in (b"\n", b"")
            raise PartlyWritten(data.count(b"\n", end_of_torn, done)) from error
        self._torn = False

    def close(self) -> None:
        self._stream.close()

    def _write_some(self, data: memoryview) -> int:
        written: int | None = self._raw.write(data)
        if written is None:  # somebody who shares the descriptor has made it non-blocking
            poll = select.poll()
            poll.register(self._raw, select.POLLOUT)
            poll.poll()
        return written or 0
