"""uvicorn's HTTP protocols, bounded: no client holds a connection for longer, or makes more of it, than the limits say.

uvicorn bounds the bytes of a head (with h11 only), idle connections and concurrency. It has no limit for how long a
head or a body may take, for the headers that httptools gathers, or for a client that does not take its answer; and
middleware comes too late for these.
"""

import asyncio
import sys
from collections.abc import Sized
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import h11

from .limits import Limits
from .problems import PROBLEM, problem
from .request_head import BadHead

_WINDOW: Final = 10.0
_SLOWEST: Final = 1024
"""Bytes a second of a body, over a window. What is slower holds the connection and does little else."""
_LINGER: Final = 2.0
"""Seconds in which a refused client may still send. A connection that is closed on data loses the answer."""
_SPARE: Final = 64
"""Connections beyond the limit that are told so. More are dropped."""

Awaited: TypeAlias = int
"""What the client is to send next, and of which of its requests: that one's number is in the higher bits."""

HEAD: Final = 0
BODY: Final = 1
NOTHING: Final = 2
KIND: Final = 3
"""The bits that say which of these it is."""
NEXT: Final = 4

if TYPE_CHECKING:

    class _Protocol(asyncio.Protocol):
        """What uvicorn's protocols have in common, as far as it is used here."""

        loop: asyncio.AbstractEventLoop
        transport: asyncio.Transport
        connections: Sized
        timeout_keep_alive: float
        timeout_keep_alive_task: asyncio.TimerHandle | None
        cycle: Any
        flow: Any

        def handle_websocket_upgrade(self, *event: Any) -> None: ...
        def on_response_complete(self) -> None: ...
        def shutdown(self) -> None: ...
        def timeout_keep_alive_handler(self) -> None: ...
        def _unset_keepalive_if_required(self) -> None: ...

else:
    _Protocol = object


class Bounded(_Protocol):
    """What is added to either protocol. One timer watches over what the client sends, one over what it takes.

    A request that comes whole, and an answer that is taken, set no timer at all but that of a new connection.
    """

    # Slots keep the names in the instance's dictionary, which are uvicorn's, below the thirty that Python reads fast.
    __slots__ = ("_anything", "_incoming", "_outgoing", "_received", "_refused", "_since", "_watched", "limits")

    def __init__(self, *arguments: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.limits = limits
        self._refused = self._anything = False
        self._received = 0
        self._since = 0.0
        self._watched: Awaited = HEAD
        self._incoming: asyncio.TimerHandle | None = None
        self._outgoing: asyncio.TimerHandle | None = None

    def awaited(self) -> Awaited:
        """Return what the client is to send next."""
        raise AssertionError("each parser knows this in its own way")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limit = self.limits.connections
        if limit is None or len(self.connections) <= limit:
            self._watch(self._watched)
        elif len(self.connections) <= limit + _SPARE:
            self.refuse(503, "there are too many connections", b"retry-after: 1\r\n")
        else:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._anything = True
        if self._incoming is None:
            super().data_received(data)
        else:  # our own time is not the client's
            self._received += len(data)
            begun = monotonic()  # uvloop's own clock stands still between two looks at its sockets
            super().data_received(data)
            self._since += monotonic() - begun
        self._watch_next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, *event: Any) -> None:
        self._refused = True  # what comes is another protocol's
        self._stop_watching()
        super().handle_websocket_upgrade(*event)

    def shutdown(self) -> None:
        if self._refused:
            self.transport.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be read. uvicorn calls this where it handles the parser's error."""
        self.refuse(*_reason(sys.exception(), msg))

    def refuse(self, status: int, detail: str, header: bytes = b"") -> None:
        """Answer in the application's place, or close where it has begun to answer."""
        self._refused = True
        self.limits.refused[status] += 1
        self._stop_watching()
        self._unset_keepalive_if_required()
        if self._is_answering():
            begun = self.cycle.response_started or getattr(self, "pipeline", None)
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if begun:
                self.transport.close()
                self._watch_unsent()
                return
        self.transport.write(_answer(status, detail, header))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._incoming = self.loop.call_later(_LINGER, self.transport.abort)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch_next(self) -> None:
        if self._refused or self.transport.is_closing():
            return
        if (awaited := self.awaited()) != self._watched:
            self._watch(awaited)
        if awaited & KIND == NOTHING and self.timeout_keep_alive_task is None and not self._is_answering():
            # What came belonged to an answered request, or to none: uvicorn took it for a request, and waits for ever.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _watch(self, awaited: Awaited) -> None:
        self._watched = awaited
        if self._incoming is not None:
            self._incoming.cancel()
            self._incoming = None
        kind = awaited & KIND
        if kind == NOTHING:
            return
        self._since = self.loop.time()
        self._received = 0
        if kind == HEAD:
            self._incoming = self.loop.call_later(self.limits.head_time, self._on_slow_head)
        elif kind == BODY and self.limits.body_time is not None:
            self._incoming = self.loop.call_later(min(_WINDOW, self.limits.body_time), self._on_window)

    def _stop_watching(self) -> None:
        for timer in (self._incoming, self._outgoing):
            if timer is not None:
                timer.cancel()
        self._incoming = self._outgoing = None

    def _on_slow_head(self) -> None:
        if self.flow.read_paused or self._is_answering():  # then the client waits for the application
            self._watch(self._watched)
        elif self._anything:
            self.refuse(408, f"the headers took longer than {self.limits.head_time:g} seconds")
        else:
            self.transport.close()  # browsers open connections in case they need them

    def _on_window(self) -> None:
        """Look at how much of the body came since the last look."""
        limit = self.limits.body_time or _WINDOW
        window = min(_WINDOW, limit)
        if self.flow.read_paused:
            self._watch(self._watched)
        elif self.loop.time() - self._since >= limit:
            self.refuse(408, f"the body took longer than {limit:g} seconds")
        elif self._received < _SLOWEST * window:
            self.refuse(408, f"the body came more slowly than {_SLOWEST} bytes a second")
        else:
            self._received = 0
            self._incoming = self.loop.call_later(window, self._on_window)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_unsent()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._outgoing is not None:
            self._outgoing.cancel()
            self._outgoing = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_unsent()  # a connection that closes waits without end for what is still unsent

    def _watch_unsent(self) -> None:
        if self.limits.send_time is None or self._outgoing is not None:
            return
        if unsent := self.transport.get_write_buffer_size():
            self._outgoing = self.loop.call_later(self.limits.send_time, self._on_unsent, unsent)

    def _on_unsent(self, before: int) -> None:
        self._outgoing = None
        if self.transport.get_write_buffer_size() >= before:
            self.limits.refused[408] += 1
            self.transport.abort()
        else:
            self._watch_unsent()


def _reason(error: BaseException | None, message: str) -> tuple[int, str]:
    while error is not None:
        if isinstance(error, BadHead):
            return error.status, str(error)
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint != 400:
            return error.error_status_hint, str(error)
        error = error.__cause__ or error.__context__
    return 400, message


def _answer(status: int, detail: str, header: bytes) -> bytes:
    body = problem(status, detail)
    return b"HTTP/1.1 %d %s\r\n%scontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
        status,
        HTTPStatus(status).phrase.encode(),
        header,
        PROBLEM,
        len(body),
        body,
    )
