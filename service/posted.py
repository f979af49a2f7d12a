"""One request to an ingest route: what it sends, and the event that it becomes."""

import time
from contextlib import suppress
from typing import Final

import anyio
from starlette.types import Message, Receive, Scope

from reqscope.bus import Event, EventBus
from reqscope.bus.event import OVERHEAD

from .heads import BESIDE, listed, pack
from .sealed import Gate, SealedExchange

_MAX_DISCARDED: Final = 64 << 20
_DISCARD_FOR: Final = 2.0


class Refusal(Exception):
    """A request that gets a problem answer.

    :ivar status: its HTTP status
    :ivar headers: those that go with that status
    """

    def __init__(self, status: int, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class ClientDisconnected(Exception):
    """The client went away before it had sent everything."""


class Post:
    """A request, as far as its answer and its event need it.

    :param route: which of the ingest routes it is to
    :param gate: what its event passes before anybody sees it
    """

    __slots__ = ("_clock", "_ended", "_gate", "_receive", "_scope", "_time", "client", "headers", "route")

    def __init__(self, scope: Scope, receive: Receive, route: str, gate: Gate) -> None:
        self._time = time.time_ns()
        self._clock = time.perf_counter()
        self._scope = scope
        self._receive = receive
        self._gate = gate
        self._ended = False
        peer = scope.get("client")
        self.client: str = peer[0] if peer else ""
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.route = route

    @property
    def query(self) -> bytes:
        query: bytes = self._scope["query_string"]
        return query

    @property
    def content_type(self) -> str:
        """Without its parameters."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")

    async def read(self, limit: int) -> bytes:
        """Return the whole body, refusing as early as possible one of more than `limit` bytes. To be called once.

        :raises Refusal: it is too large, or its declared size is no number
        :raises ClientDisconnected: it will never be whole
        """
        declared = self._declared()
        if not declared.isdigit():
            raise Refusal(400, "Content-Length is not a number")
        chunks: list[bytes] = []
        size = 0
        too_large = _is_beyond(declared, limit)
        while not (self._ended or too_large):
            chunk = self._chunk(await self._receive())
            chunks.append(chunk)
            size += len(chunk)
            too_large = size > limit
        if too_large:
            raise Refusal(413, f"the body is larger than {limit} bytes")
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def discard(self) -> None:
        """Read what a refused client still sends, within reason: many hear an answer only when they have sent all."""
        declared = self._declared()
        if b"expect" in self.headers or not declared.isdigit() or _is_beyond(declared, _MAX_DISCARDED):
            return
        left = _MAX_DISCARDED
        with anyio.move_on_after(_DISCARD_FOR), suppress(ClientDisconnected):
            while left > 0 and not self._ended:
                left -= len(self._chunk(await self._receive()))

    def publish(self, bus: EventBus, status: int, body: bytes = b"", error: str | None = None) -> Event:
        """Put this request on the bus, as a log line if all is well with it, and return its event."""
        scope = self._scope
        path, query = scope["path"], scope["query_string"]
        headers = listed(scope["headers"])
        head = pack(headers)
        size = len(body)
        event = Event(  # by position, as capture does
            self._time,
            "log" if status == 200 else "request",
            scope["method"],
            self.route,
            status,
            self.client,
            scope.get("scheme", "http"),
            scope["http_version"],
            size,
            0,
            None,
            time.perf_counter() - self._clock,
            error,
            OVERHEAD + len(path) + len(query) + len(head) + BESIDE * len(headers) + size,
            SealedExchange(self._gate, path, query, head, b"", body=body),
        )
        bus.publish(event)
        return event

    def _declared(self) -> bytes:
        return self.headers.get(b"content-length", b"0")

    def _chunk(self, message: Message) -> bytes:
        if message["type"] != "http.request":
            raise ClientDisconnected
        self._ended = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk


def _is_beyond(declared: bytes, limit: int) -> bool:
    return len(declared) > 19 or int(declared) > limit
