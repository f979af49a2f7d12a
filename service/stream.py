"""Events as they come, for programs: Server-Sent Events (WHATWG HTML, section 9.2).

Each event is one message, whose data is the line that the log has and whose id says how far the stream has come:
`epoch:number`, the epoch being the life of the bus. What could not be sent is told by a message named `gap`.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Final

import anyio
from anyio.lowlevel import checkpoint
from fastapi import APIRouter, Header, HTTPException, Query
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from reqscope.bus import Batch, EventBus, Filter, Subscription
from reqscope.bus.encoding import encode, encode_lines
from reqscope.bus.filter_syntax import MAX_LENGTH
from reqscope.bus.schema import Entry, view

from .query import newest, read_filter

HEARTBEAT: Final = 15.0
"""Seconds of quiet after which a sign of life is sent, and a client that is gone is found out."""
MAX_STREAMS: Final = 1_000
READER: Final = "stream"
"""What statistics call the readers of streams."""

_LINGER: Final = 0.05
_AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 128 << 10
"""Bytes of events that are written at once. A client that does not read holds up one such piece, and no events."""
_POSITION_EVERY: Final = 1.0
"""Seconds after which a client is told how far the stream is, where a filter let nothing pass."""
_TURN: Final = 0.002
"""Seconds of opening events before the event loop gets a turn: that is the application's time."""
_GOODBYE: Final = 0.25
"""Seconds that a client gets to take the end of its stream. One that is stuck would hold up the server's end."""
_RETRY: Final = 1_000
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
_POSITION: Final = re.compile(r"(?:([A-Za-z0-9_.-]{1,64}):)?([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """A snapshot of the streams that are open, and of what those that ended have had."""

    open: int
    ended_delivered: int
    ended_missed: int


class Streams:
    """The open streams of one bus: counted, limited in number, and ended together.

    :param heartbeat: seconds of quiet after which a sign of life is sent
    """

    def __init__(self, bus: EventBus, heartbeat: float = HEARTBEAT) -> None:
        self.bus = bus
        self.heartbeat = heartbeat
        self._streams: set[EventStream] = set()
        self._closed = False
        self._delivered = 0
        self._missed = 0

    def __len__(self) -> int:
        """How many are open."""
        return len(self._streams)

    @property
    def closed(self) -> bool:
        return self._closed

    def open(self) -> None:
        """Take clients again after `close`."""
        self._closed = False

    def close(self) -> None:
        """End every stream once it has sent what there is, and take no more clients.

        A server that goes down need not wait for them then.
        """
        self._closed = True
        for stream in self._streams:
            stream.end()

    def statistics(self) -> StreamStatistics:
        return StreamStatistics(len(self._streams), self._delivered, self._missed)

    @contextmanager
    def holding(self, stream: "EventStream", subscription: Subscription) -> Generator[None]:
        """Count a stream as open for as long as the block lasts."""
        self._streams.add(stream)
        if self._closed:  # since the client was taken
            stream.end()
        try:
            yield
        finally:
            self._streams.discard(stream)
            had = subscription.statistics()
            self._delivered += had.delivered
            self._missed += had.missed


def stream_router(streams: Streams) -> APIRouter:
    """Return the route that streams events. To be included before the query API, which takes it for an event's id."""
    router = APIRouter()
    bus = streams.bus

    @router.get(
        "/api/events/stream",
        summary="Events as they come, as Server-Sent Events",
        response_class=Response,
        responses={200: {"content": {EventStream.media_type: {"schema": {"type": "string"}}}}},
    )
    async def stream(
        filter: Annotated[str, Query(description="such as `status:5xx path:/api/*`", max_length=MAX_LENGTH)] = "",  # noqa: A002 - the parameter's public name
        after: Annotated[
            str, Query(description="go on behind this event: `epoch:number`, or a number of the present epoch")
        ] = "",
        last_event_id: Annotated[str, Header(description="what browsers say instead of `after`; it wins")] = "",
        backfill: Annotated[int, Query(ge=0, description="begin with so many of the newest; not with `after`")] = 0,
        follow: Annotated[bool, Query(description="wait for more; false ends after what there is")] = True,
    ) -> Response:
        passes = read_filter(filter)
        if streams.closed or bus.closed:
            raise HTTPException(503, "the monitor is going down", {"retry-after": "1"})
        if len(streams) >= MAX_STREAMS:
            raise HTTPException(503, f"{MAX_STREAMS} streams are open, which is the most", {"retry-after": "10"})
        if position := last_event_id or after:
            cursor, restarted = _resumed(bus, position)
        else:
            cursor, restarted = await _behind_newest(bus, passes, backfill), False
        return EventStream(streams, passes, cursor, restarted=restarted, follow=follow)

    return router


class EventStream(Response):
    """Sends what follows event number `cursor`, until the client leaves or the streams are closed.

    It holds a cursor and no events: to a client that does not read, nothing more is written, and what the ring evicts
    meanwhile is a gap of exactly so many.

    :param restarted: the client's position is of another life of the bus, which it is told
    :param follow: go on when everything that was there at the beginning has been sent
    """

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, passes: Filter, cursor: int, *, restarted: bool, follow: bool) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(_HEADERS)
        self._streams = streams
        self._bus = streams.bus
        self._passes = passes
        self._cursor = cursor
        self._restarted = restarted
        self._follow = follow
        self._head = self._bus.ring.last
        """Where the stream ends if it does not follow."""
        self._told = cursor
        """How far the client knows that the stream has come."""
        self._waiting = anyio.CancelScope()
        self._ended = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        subscription = self._bus.subscribe(
            self._cursor, linger=_LINGER, limit=_AT_ONCE, max_bytes=_BYTES_AT_ONCE, name=READER, sealed=True
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_when_gone, receive, tasks.cancel_scope)
            tasks.start_soon(self._end_soon, tasks.cancel_scope)
            with self._streams.holding(self, subscription):
                async with subscription:
                    with suppress(OSError):  # how some servers say that the client is gone
                        await self._send_all(subscription, send)
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(_GOODBYE), suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def end(self) -> None:
        """End the stream once everything that is there now was sent, or soon if the client does not take it."""
        self._follow, self._head = False, self._bus.ring.last
        self._ended.set()

    async def _end_soon(self, stream: anyio.CancelScope) -> None:
        await self._ended.wait()
        self._waiting.cancel()
        await anyio.sleep(_GOODBYE)
        stream.cancel()

    async def _send_all(self, subscription: Subscription, send: Send) -> None:
        text, sent = self._hello(), anyio.current_time()
        while True:
            if text:
                await send({"type": "http.response.body", "body": text, "more_body": True})
                sent = anyio.current_time()
            if not self._follow and subscription.cursor >= self._head:
                return
            patience = self._streams.heartbeat if self._told == subscription.cursor else _POSITION_EVERY
            try:
                batch = await self._receive(subscription, sent + patience)
            except anyio.EndOfStream:
                return
            text = self._alive(subscription.cursor) if batch is None else await self._text(batch)
            del batch  # while the client takes its time over the text, the events are the ring's to evict

    async def _receive(self, subscription: Subscription, deadline: float) -> Batch | None:
        """Return what is new; None when nothing is by the deadline, or when the stream is to end."""
        with anyio.CancelScope(deadline=deadline) as self._waiting:
            return await subscription.receive()
        return None

    def _hello(self) -> bytes:
        hello = b"retry: %d\n" % _RETRY
        if self._restarted:
            return hello + self._gap(self._cursor, self._cursor, restarted=True)
        return hello + self._alive(self._cursor)

    def _alive(self, cursor: int) -> bytes:
        """Return a comment and an id, which together are no message, and yet a place to go on from."""
        self._told = cursor
        return b": alive\n%b\n" % self._id(cursor)

    def _gap(self, missed: int, cursor: int, *, restarted: bool) -> bytes:
        data = encode({"missed": missed, "restarted": restarted})
        return b"event: gap\n%bdata: %b\n\n" % (self._id(cursor), data)

    def _id(self, cursor: int) -> bytes:
        return b"id: %b:%d\n" % (self._bus.boot.encode(), cursor)

    async def _text(self, batch: Batch) -> bytes:
        shown: list[Entry] = []
        turn = perf_counter() + _TURN
        for event in batch.events:
            if self._passes(event):
                shown.append(view(event.open(), self._bus.boot, Entry))
            if perf_counter() > turn:
                await checkpoint()
                turn = perf_counter() + _TURN
        parts = [self._gap(batch.missed, batch.next - len(batch.events), restarted=False)] if batch.missed else []
        lines = encode_lines(shown).split(b"\n")  # an encoded line has no line feed of its own
        parts += [b"%bdata: %b\n\n" % (self._id(entry.seq), line) for entry, line in zip(shown, lines, strict=False)]
        if shown:
            self._told = shown[-1].seq
        elif batch.missed:
            self._told = batch.next - len(batch.events)
        return b"".join(parts)


async def _end_when_gone(receive: Receive, stream: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.cancel()


def _resumed(bus: EventBus, position: str) -> tuple[int, bool]:
    """Return the cursor to go on from, and whether the position is of another life of the bus."""
    match = _POSITION.fullmatch(position)
    if match is None:
        raise HTTPException(400, "after, or Last-Event-ID: it is the id of an event that was streamed, such as 1f3a:17")
    cursor = int(match[2])
    if match[1] in (None, bus.boot) and cursor <= bus.ring.last:
        return cursor, False
    return bus.ring.first - 1, True


async def _behind_newest(bus: EventBus, passes: Filter, count: int) -> int:
    """Return the cursor that the `count` newest events that pass come after."""
    if not count:
        return bus.ring.last
    found, _, last = await newest(bus, passes, count)
    return found[0].seq - 1 if found else last
