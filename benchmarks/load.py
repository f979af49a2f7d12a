"""HTTP load over raw keep-alive sockets: light enough that the server, on another core, is what is measured."""

import gc
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from .server import pin
from .workloads import BATCH, TEXT, request, stamped

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "
_BURST: Final = 0.01
"""Seconds between two bursts of a steady load."""


@dataclass
class Load:
    """What came back in the time."""

    requests: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list[float])
    """Seconds from sending a request to having its whole answer, ascending."""

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    def quantile(self, fraction: float) -> float:
        """Return the latency in seconds that so many requests stay below."""
        return self.latencies[min(len(self.latencies) - 1, int(fraction * len(self.latencies)))]


class Clients:
    """Connections to a server on this machine, each with one request in flight while they are busy."""

    def __init__(self, port: int, amount: int, stack: ExitStack) -> None:
        self._selector = stack.enter_context(selectors.DefaultSelector())
        opened = (stack.enter_context(connect(port, None)) for _ in range(amount))
        self._sockets = {each.fileno(): each for each in opened}
        for number in self._sockets:
            self._selector.register(number, selectors.EVENT_READ)

    def saturate(self, request: bytes, seconds: float) -> Load:
        """Keep one `request` in flight on each connection, until the time is over and all are answered.

        :raises RuntimeError: an answer is not a success, so that a fast failure is not taken for speed
        """
        load, pending, sent = Load(), dict[int, bytes](), dict[int, float]()
        clock, sockets = time.perf_counter, self._sockets
        begun = now = clock()
        for number, each in sockets.items():
            sent[number] = clock()
            each.sendall(request)
        while sent:
            for key, _ in self._selector.select(1.0):
                number, each = key.fd, sockets[key.fd]
                data = pending.pop(number, b"") + each.recv(65_536)
                if not _whole(data):
                    pending[number] = data
                    continue
                now = clock()
                load.latencies.append(now - sent.pop(number))
                if now - begun < seconds:
                    sent[number] = now
                    each.sendall(request)
        load.seconds = now - begun
        load.requests = len(load.latencies)
        load.latencies.sort()
        return load


@contextmanager
def clients(port: int, amount: int = 32) -> Generator[Clients]:
    """Open so many connections, and keep the garbage collector from holding them up."""
    with ExitStack() as stack:
        opened = Clients(port, amount, stack)
        gc.collect()
        gc.disable()
        stack.callback(gc.enable)
        yield opened


def saturate(port: int, request: bytes, seconds: float, connections: int = 32) -> Load:
    """Keep one `request` in flight on each of so many new connections. See `Clients.saturate`."""
    with clients(port, connections) as opened:
        return opened.saturate(request, seconds)


def send_steadily(port: int, request: bytes, rate: float, seconds: float) -> int:
    """Send about `rate` requests a second, in small bursts, over one connection, and return how many that were."""
    sent = 0
    with connect(port) as connection:
        begun = time.perf_counter()
        while (passed := time.perf_counter() - begun) < seconds:
            while sent < min(passed + _BURST, seconds) * rate:
                exchange(connection, request)
                sent += 1
            time.sleep(_BURST)
    return sent


def send_batches(port: int, rate: float, seconds: float) -> int:
    """Send about `rate` records a second to `POST /events`, a hundred batches a second, and return how many."""
    sent = 0
    with connect(port) as connection:
        begun = time.perf_counter()
        while (passed := time.perf_counter() - begun) < seconds:
            if (due := min(int(passed * rate) - sent, BATCH)) > 0:  # where it fell behind, it catches up bit by bit
                batch = stamped(time.time(), due)
                exchange(connection, request("POST", "/events", batch, "application/x-ndjson"))
                sent += due
            time.sleep(_BURST)
    return sent


def exchange(connection: socket.socket, request: bytes) -> None:
    """Send one request and wait for its whole answer."""
    connection.sendall(request)
    data = b""
    while not _whole(data):
        data += connection.recv(65_536)


def connect(port: int, timeout: float | None = 30.0) -> socket.socket:
    """Return a connection to a server on this machine that sends at once what it is given.

    :param timeout: seconds to wait for an answer; None saves the system call that watches over that
    """
    connection = socket.create_connection(("127.0.0.1", port), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _whole(data: bytes) -> bool:
    head = data.find(_END)
    if head < 0:
        return False
    if not data.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"the server answered {data[:200]!r}")
    at = data.index(_LENGTH) + len(_LENGTH)
    return len(data) >= head + 4 + int(data[at : data.index(b"\r", at)])


@contextmanager
def loading(port: int, rate: float, batches: bool = False) -> Generator[None]:
    """Have a process of its own send that many requests, or records in batches, each second meanwhile."""
    command = [sys.executable, "-m", "benchmarks.load", str(port), str(rate), "3600", *(["batches"] if batches else [])]
    with subprocess.Popen(command) as process:
        try:
            yield
            if process.poll() is not None:
                raise RuntimeError("the load ended early")
        finally:
            process.kill()


if __name__ == "__main__":  # python -m benchmarks.load PORT RATE SECONDS [batches]
    pin(1)
    port, rate, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    if sys.argv[4:] == ["batches"]:
        print(send_batches(port, rate, seconds))
    else:
        print(send_steadily(port, request("POST", "/log", TEXT), rate, seconds))
