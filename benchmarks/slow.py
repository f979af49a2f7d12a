"""Clients that are slow on purpose, in a process of their own: `python -m benchmarks.slow PORT KIND COUNT`.

They hold connections as an attacker would: whatever the server closes is opened again.
"""

import select
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from .server import pin
from .workloads import request

_PAUSE: Final = 0.5
"""Seconds between two bytes of each connection."""

_LARGE: Final = 1_000_000
_BUFFER: Final = 4_096


class Kind(NamedTuple):
    """What a client sends first, and then bit by bit, and how much of the answer it takes each time."""

    first: bytes
    then: bytes
    takes: int


_HEADERS, _, _ = request("GET", "/livez").partition(b"\r\n\r\n")

KINDS: Final = {
    "headers": Kind(_HEADERS + b"\r\nx: ", b"y", 1),
    "bodies": Kind(request("POST", "/log", b"x" * _LARGE)[: -_LARGE + 1], b"x", 1),
    "readers": Kind(request("POST", "/log", b"x" * _LARGE), b"", 1),  # what it posted comes back
}


class Slow:
    """One connection that is held."""

    def __init__(self, port: int, kind: Kind) -> None:
        self._kind = kind
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        try:
            self._socket.settimeout(30)
            self._socket.connect(("127.0.0.1", port))
            self._socket.sendall(kind.first)
        except BaseException:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    def go_on(self) -> bool:
        """Send and take a little more. Whether the server still puts up with it."""
        try:
            self._socket.send(self._kind.then)
            with suppress(BlockingIOError):
                taken = self._socket.recv(self._kind.takes)
                return bool(taken) and not self._kind.then  # an answer to what is not whole says that it is too slow
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


def hold(port: int, kind: Kind, count: int) -> None:
    """Hold so many connections, for ever, and print how many the server has closed when a line is read."""
    held = [Slow(port, kind) for _ in range(count)]
    closed = 0
    print(closed, flush=True)
    while True:
        for number, slow in enumerate(held):
            if not slow.go_on():
                slow.close()
                closed += 1
                held[number] = Slow(port, kind)
        if select.select([sys.stdin], [], [], _PAUSE)[0]:
            sys.stdin.readline()
            print(closed, flush=True)


class Holding:
    """Slow clients that are at work."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._read()

    def closed(self) -> int:
        """Return how many of their connections the server has closed.

        :raises RuntimeError: they have ended; the reason is on standard error
        """
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the slow clients ended early")
        return int(line)


@contextmanager
def holding(port: int, kind: str, count: int) -> Generator[Holding]:
    """Hold so many connections meanwhile."""
    command = [sys.executable, "-m", "benchmarks.slow", str(port), kind, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Holding(process)
        finally:
            process.kill()


if __name__ == "__main__":
    pin(1)
    hold(int(sys.argv[1]), KINDS[sys.argv[2]], int(sys.argv[3]))
