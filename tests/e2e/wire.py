"""A connection that can be cut and held up: a TCP relay between the browser and the server."""

import selectors
import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType

_CHUNK = 1 << 16
_RESET = struct.pack("ii", 1, 0)


class Wire:
    """Relays every connection to `target`, a port of this machine, until told otherwise."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._whole = True
        self._flows = threading.Event()
        self._flows.set()
        self._closed = False

    def __enter__(self) -> "Wire":
        for run in (self._accept, self._relay):
            threading.Thread(target=run, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._flows.set()
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Reset every connection, and each new one, until it is mended."""
        self._whole = False
        with self._lock:
            pairs, self._pairs = self._pairs, {}
        for end in pairs:
            _reset(end)

    def hold(self) -> None:
        """Let nothing through and tell nobody, as a network does that has gone away."""
        self._flows.clear()

    def mend(self) -> None:
        """Relay as before. What was held up goes on, where it was not cut."""
        self._whole = True
        self._flows.set()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                if not self._whole:
                    _reset(near)
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._pairs |= {near: far, far: near}

    def _relay(self) -> None:
        while not self._closed:
            self._flows.wait()
            with self._lock, selectors.DefaultSelector() as selector:
                for end in self._pairs:
                    selector.register(end, selectors.EVENT_READ, end)
                ready = [key.data for key, _ in selector.select(0.002)] if self._pairs else []
            if not ready:
                threading.Event().wait(0.002)
            for end in ready:
                self._pass_on(end)

    def _pass_on(self, end: socket.socket) -> None:
        other = self._pairs.get(end)
        if other is None:
            return
        try:
            data = end.recv(_CHUNK)
            other.sendall(data)
        except OSError:
            data = b""
        if not data:
            with self._lock:
                self._pairs.pop(end, None)
                self._pairs.pop(other, None)
            end.close()
            other.close()


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.close()
